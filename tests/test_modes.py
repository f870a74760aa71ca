"""Switches belong to the thread and the frame that set them, and restore only what they changed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg

X = tg.Tensor(np.ones(2), requires_grad=True)


def recording() -> bool:
    return (X * 2.0).requires_grad


def test_no_grad_is_a_context_and_a_decorator() -> None:
    @tg.no_grad()
    def inside() -> bool:
        return recording()

    with tg.no_grad():
        assert not recording()
    assert not inside()
    assert recording()


def test_no_grad_around_a_yield_does_not_leak_into_the_caller() -> None:
    def steps() -> Iterator[bool]:
        with tg.no_grad():
            for _ in range(3):
                yield recording()

    for inside in steps():
        assert not inside
        assert recording()
    generator = steps()
    next(generator)
    assert recording()
    with tg.detect_anomaly():
        del generator
    assert recording()


def test_a_generator_that_is_suspended_keeps_its_own_switch() -> None:
    def steps() -> Iterator[bool]:
        with tg.no_grad():
            yield recording()
            yield recording()
        yield recording()

    generator = steps()
    assert [next(generator), recording(), next(generator), recording(), next(generator)] == [
        False, True, False, True, True
    ]  # fmt: skip


def test_generators_inside_generators() -> None:
    def inner() -> Iterator[bool]:
        yield recording()
        with tg.no_grad():
            yield recording()
        yield recording()

    def outer() -> Iterator[bool]:
        yield from inner()
        yield recording()

    assert list(outer()) == [True, False, True, True]


def test_leaving_out_of_order_restores_what_each_changed() -> None:
    a, b = tg.no_grad(), tg.no_grad()
    a.__enter__()
    b.__enter__()
    a.__exit__(None, None, None)
    assert not recording()
    b.__exit__(None, None, None)
    assert recording()
    c, d = tg.no_grad(), tg.detect_anomaly()
    c.__enter__()
    d.__enter__()
    c.__exit__(None, None, None)
    assert recording()
    with pytest.raises(FloatingPointError), np.errstate(all="ignore"):
        np.log(X - 1.0)
    d.__exit__(None, None, None)


def test_one_context_may_be_entered_again() -> None:
    context = tg.no_grad()
    with context:
        with context:
            assert not recording()
        assert not recording()
    assert recording()


def test_one_context_may_be_shared_by_generators() -> None:
    context = tg.no_grad()

    class Evaluation:
        def __enter__(self) -> None:
            context.__enter__()

        def __exit__(self, *_: Any) -> None:
            context.__exit__(None, None, None)

    def steps(manager: Any) -> Iterator[bool]:
        with manager:
            yield recording()
            yield recording()
        yield recording()

    for manager in (context, Evaluation()):
        first, second = steps(manager), steps(manager)
        assert [next(first), next(second), next(first), next(first)] == [False, False, False, True]
        assert [next(second), next(second), recording()] == [False, True, True]


def test_the_decorator_on_a_generator_function_covers_its_body_and_nothing_else() -> None:
    @tg.no_grad()
    def steps() -> Iterator[bool]:
        received = yield recording()
        assert received == "sent"
        yield recording()
        return "returned"

    generator = steps()
    assert not next(generator)
    assert recording()
    assert not generator.send("sent")
    with pytest.raises(StopIteration) as stopped:
        next(generator)
    assert stopped.value.value == "returned"
    assert recording()


def test_a_context_manager_made_of_a_generator_covers_the_block_below_it() -> None:
    @contextlib.contextmanager
    def evaluation() -> Iterator[None]:
        with tg.no_grad():
            yield

    with evaluation():
        assert not recording()
    assert recording()
    with contextlib.ExitStack() as stack:
        stack.enter_context(evaluation())
        stack.enter_context(tg.no_grad())
        assert not recording()
    assert recording()

    def steps() -> Iterator[bool]:
        with evaluation():
            yield recording()

    for inside in steps():
        assert not inside
        assert recording()


class Evaluation:
    def __enter__(self) -> None:
        self.context = tg.no_grad()
        self.context.__enter__()

    def __exit__(self, *_: Any) -> None:
        self.context.__exit__(None, None, None)


def test_a_class_that_enters_no_grad_in_a_generator_does_not_leak() -> None:
    def steps() -> Iterator[bool]:
        with Evaluation():
            yield recording()

    generator = steps()
    assert not next(generator)
    after = recording()
    generator.close()
    assert after


def test_a_class_that_enters_it_covers_the_block_below() -> None:
    with Evaluation():
        assert not recording()
    assert recording()


def test_an_asynchronous_class_that_enters_it_covers_the_block_below_and_nothing_else() -> None:
    class Evaluation:
        async def __aenter__(self) -> None:
            self.context = tg.no_grad()
            self.context.__enter__()

        async def __aexit__(self, *_: Any) -> None:
            self.context.__exit__(None, None, None)

    async def steps() -> AsyncIterator[bool]:
        async with Evaluation():
            yield recording()

    async def inside_and_outside() -> list[tuple[bool, bool]]:
        return [(inside, recording()) async for inside in steps()]

    assert asyncio.run(inside_and_outside()) == [(False, True)]
    assert recording()


def test_a_generator_may_be_closed_by_another_thread() -> None:
    context = tg.no_grad()

    def steps() -> Iterator[bool]:
        with context:
            yield recording()
        yield recording()

    generator = steps()
    assert not next(generator)
    thread = threading.Thread(target=generator.close)
    thread.start()
    thread.join()
    assert context.entered == []
    assert recording()


def test_coroutines_do_not_leak_into_each_other() -> None:
    async def evaluates(found: list[bool]) -> None:
        with tg.no_grad():
            for _ in range(3):
                found.append(recording())
                await asyncio.sleep(0)

    async def trains(found: list[bool]) -> None:
        for _ in range(3):
            found.append(recording())
            await asyncio.sleep(0)

    @tg.no_grad()
    async def decorated() -> bool:
        await asyncio.sleep(0)
        return recording()

    @tg.no_grad()
    async def numbers() -> AsyncIterator[bool]:
        yield recording()
        yield recording()

    async def both() -> tuple[list[bool], list[bool]]:
        a: list[bool] = []
        b: list[bool] = []
        await asyncio.gather(evaluates(a), trains(b))
        assert not await decorated()
        async for inside in numbers():
            assert not inside
            assert recording()
        return a, b

    assert asyncio.run(both()) == ([False] * 3, [True] * 3)
    assert recording()


def test_a_thread_has_switches_of_its_own() -> None:
    found = []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: found.append(recording()))
        thread.start()
        thread.join()
    assert found == [True]


def test_an_exception_restores_what_was_changed() -> None:
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert recording()


def test_one_context_may_be_shared_by_threads() -> None:
    context, meeting, found = tg.no_grad(), threading.Barrier(2), {}

    def first() -> None:
        with context:
            meeting.wait()
            meeting.wait()
        found["first"] = recording()
        meeting.wait()

    def second() -> None:
        meeting.wait()
        with context:
            meeting.wait()
            meeting.wait()
            found["second, inside"] = recording()

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"first": True, "second, inside": False}
