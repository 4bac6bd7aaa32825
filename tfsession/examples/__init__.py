"""Programs to read and run; they import tfsession as any user's program does."""
