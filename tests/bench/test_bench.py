"""Every row of the bench builds, and small ones give TensorFlow's answers."""

import bench
import pytest
from works import ROWS

SMALL = {name: (work, sizes) for work in {id(r.work): r.work for r in ROWS}.values()
         for name, sizes in work.small.items()}  # fmt: skip


@pytest.fixture(scope="module")
def libraries():
    return bench.libraries()


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")  # TensorFlow's, of what is deprecated
@pytest.mark.parametrize("name", SMALL)
def test_a_work_gives_tensorflows_answer(libraries, name):
    work, sizes = SMALL[name]
    bench.agree(name, [work.build(module, *sizes) for module in libraries.values()])
