"""What `import tensorflow` means in a program that runs under tfsession, and what is missing.

`finder` gives the modules of that name, from the tables of `module_names`; `listing` knows all
public names of TensorFlow, and which are present, planned or refused; `usage` reads which of them
a source file uses. The façade, the command line and users import this room; it may import all.

Modules are stand-ins, not tfsession's own: a program of TensorFlow 1 may look for a version, for
`tf.contrib` and for private modules that tfsession itself does not have.
"""
