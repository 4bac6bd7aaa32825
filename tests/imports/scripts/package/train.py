import sys

import tensorflow as tf

from . import model
from .model import build

with tf.Session() as session:
    print(__name__, __package__, sys.argv[1:], model.__name__, session.run(build()))
