"""Kills a process that saves, at random moments: `python tests/checkpoint/killed.py --rounds 1000`.

A child saves two variables over and over, under numbers or under one name, in either format, and
says when a save is done. After each kill the checkpoint that the state file names must load: both
variables whole, of one save, which is the last one that was told of or a later one; and its
MetaGraph, too.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import tfsession as tf

SIZE = 50_000
MODES = {
    "numbered": ({"max_to_keep": 2}, True),
    "one name": ({}, False),
    "sharded": ({"max_to_keep": 2, "sharded": True}, True),
    "V1": ({"max_to_keep": 2, "write_version": 1}, True),
}


def save(directory, mode, numbers, told):
    """Save one number after the other; call `told` with each when it is saved."""
    settings, is_numbered = MODES[mode]
    with tf.Graph().as_default(), tf.Session() as session:
        variables = [tf.get_variable(name, initializer=tf.zeros([SIZE])) for name in "ab"]
        value = tf.placeholder(tf.float32, [])
        filled = [tf.assign(v, tf.fill([SIZE], value)) for v in variables]
        saver = tf.train.Saver(**settings)
        state = tf.train.get_checkpoint_state(directory)
        if state is not None:
            saver.recover_last_checkpoints(list(state.all_model_checkpoint_paths))
        for number in numbers:
            session.run(filled, {value: number})
            saver.save(session, f"{directory}/m", number if is_numbered else None)
            told(number)


def saved_number(directory):
    """The number in the latest checkpoint; AssertionError where it is not whole."""
    latest = tf.train.latest_checkpoint(directory)
    assert latest is not None, sorted(Path(directory).iterdir())
    reader = tf.train.load_checkpoint(latest)
    a, b = reader.get_tensor("a"), reader.get_tensor("b")
    assert a.shape == b.shape == (SIZE,)
    assert (a == a[0]).all(), f"{latest}: parts of two saves in a"
    assert (b == a[0]).all(), f"{latest}: a and b are of two saves"
    with tf.Graph().as_default():
        tf.train.import_meta_graph(f"{latest}.meta")
    return int(a[0])


def run_child(directory, mode, first, rng):
    """Let a child save for a random while, and kill it; gives the last number that it told."""
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        os.close(told)
        try:
            save(
                directory, mode, range(first, 1 << 24),
                lambda number: os.write(tell, number.to_bytes(4, "little")),
            )  # fmt: skip
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(tell)
    with os.fdopen(told, "rb", buffering=0) as pipe:
        last, start = 0, time.monotonic()
        if rng.random() < 0.8:
            last = int.from_bytes(pipe.read(4), "little")
        # Up to as long as the first save has taken, whatever the machine.
        time.sleep(rng.uniform(0, time.monotonic() - start + 0.01))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"the child ended by itself: {status}"
        while number := pipe.read(4):
            last = int.from_bytes(number, "little")
    return last


def _left(directory):
    """What killed saves have left."""
    paths = Path(directory).iterdir()
    return {p for p in paths if any(mark in p.name for mark in (".tempstate", ".next", "_temp"))}


def main():
    """Kill as often as asked for; the exit status tells whether all was whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    half_written = 0
    numbers = dict.fromkeys(MODES, 1)
    with tempfile.TemporaryDirectory() as root:
        for mode in MODES:
            (Path(root) / mode).mkdir()
            # Here, too, so that no child has to load anything.
            save(f"{root}/{mode}", mode, [1], str)
        for count in range(asked.rounds):
            mode = rng.choice(list(MODES))
            directory = f"{root}/{mode}"
            before = _left(directory)
            told = run_child(directory, mode, numbers[mode] + 1, rng)
            half_written += bool(_left(directory) - before)
            found = saved_number(directory)
            least = max(told, numbers[mode])
            assert found >= least, f"{mode}: {found} is there, {least} was saved"
            numbers[mode] = found
            if count % 50 == 49:
                # What is half-written stays for an hour, lest somebody still writes it.
                for path in Path(directory).glob("*.tempstate*"):
                    path.unlink()
                for path in Path(directory).glob("*_temp"):
                    shutil.rmtree(path)
    print(
        f"{asked.rounds} kills, seed {asked.seed}: {sum(numbers.values())} saves; the latest "
        f"checkpoint was whole each time; {half_written} kills left something half-written"
    )


if __name__ == "__main__":
    sys.exit(main())
