import multiprocessing
import threading

import pytest
import scipy.linalg  # noqa: F401
from threadpoolctl import threadpool_info, threadpool_limits

from featx._blas import one_blas_thread


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def three_threads():
    with threadpool_limits(3, user_api="blas"):
        if blas_threads() != {3}:
            pytest.skip("this BLAS has no threads to set")
        yield


def test_the_limit_holds_in_the_block_and_is_restored():
    with one_blas_thread():
        assert blas_threads() == {1}
    assert blas_threads() == {3}


def test_an_error_restores_it_too():
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        raise ZeroDivisionError
    assert blas_threads() == {3}


def test_blocks_may_lie_in_one_another():
    with one_blas_thread():
        with one_blas_thread():
            pass
        assert blas_threads() == {1}
    assert blas_threads() == {3}


def test_the_last_of_overlapping_threads_restores_what_was_before_the_first():
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    seen = {}

    def first():
        with one_blas_thread():
            first_is_in.set()
            assert second_is_in.wait(60)
        seen["first is out"] = blas_threads()
        first_is_out.set()

    def second():
        assert first_is_in.wait(60)
        with one_blas_thread():
            second_is_in.set()
            assert first_is_out.wait(60)

    threads = [threading.Thread(target=function) for function in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"first is out": {1}}
    assert blas_threads() == {3}


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forked_in_the_block_is_not_limited_and_can_limit_itself():
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def ask():
        before = blas_threads()
        with one_blas_thread():
            answers.put((before, blas_threads(), None))

    with one_blas_thread():
        child = context.Process(target=ask)
        child.start()
        child.join(60)
    assert child.exitcode == 0
    before, inside, _ = answers.get()
    assert before == {3}
    assert inside == {1}
