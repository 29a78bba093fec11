"""What all schedules share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError, TraceError
from flambeau.ops.record import refuse
from flambeau.optim.optimizer import Optimizer

Group = dict[str, Any]


class LRScheduler:
    """Sets the learning rate of each parameter group: ``get_lr`` says to what.

    A schedule of yours is a subclass with ``get_lr``, from ``last_epoch`` (0 at first, one more at
    each ``step``), ``base_lrs`` (the rates at the start) and the groups' present rates.

    >>> import flambeau as fb
    >>> class Halving(fb.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base / 2**self.last_epoch for base in self.base_lrs]
    >>> optimizer = fb.optim.SGD([fb.nn.Parameter(fb.ones(3))], lr=1.0)
    >>> schedule = Halving(optimizer)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    unsaved: tuple[str, ...] = ("optimizer",)

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.attach(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                self.refuse(
                    f"param_groups[{i}] has no 'initial_lr', which going on from last_epoch={last_epoch} "
                    "needs: load the optimizer's state first"
                )
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.begin()

    def attach(self, optimizer: Optimizer) -> None:
        """Remember the optimizer; raises for anything else."""
        if not isinstance(optimizer, Optimizer):
            self.refuse(f"an optimizer is needed, not {type(optimizer).__name__}")
        self.optimizer = optimizer

    def refuse(self, text: str) -> NoReturn:
        """Raise ``OperandError`` with the schedule's name and the user's line."""
        refuse(OperandError(f"{type(self).__name__}: {text}"))

    @property
    def groups(self) -> list[Group]:
        """The parameter groups."""
        return self.optimizer.param_groups

    def present(self) -> list[float]:
        """The rates as they are."""
        return [float(group["lr"]) for group in self.groups]

    def begin(self) -> None:
        """Set the rates of the first epoch."""
        self._step_count = 0
        self._is_initial = True
        self._step_count += 1
        self.move()
        self._is_initial = False

    def get_lr(self) -> list[float]:
        """The rate of each group at ``last_epoch``."""
        raise NotImplementedError

    def closed_form(self) -> list[float]:
        """The same from ``base_lrs`` alone, where a schedule can be entered in the middle."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """The rates last set."""
        return self._last_lr

    def step(self) -> None:
        """Go on to the next epoch, or to whatever is counted."""
        self.allow()
        self._step_count += 1
        self.move()

    def allow(self) -> None:
        """Raise where a function is being recorded: a compiled one would not step again."""
        tape = THREAD.tape
        if tape.abstract:
            refuse(
                TraceError(
                    f"{type(self).__name__}: step computes with Python, which {tape.abstract} runs only "
                    "while it is recorded: call it outside of the function"
                )
            )

    def move(self, epoch: int | None = None) -> None:
        """Set the rates of the next epoch, or of ``epoch``."""
        if epoch is None:
            self.last_epoch += 1
            self.set(self.get_lr())
        else:
            self.last_epoch = epoch
            self.set(self.closed_form())

    def set(self, rates: list[float]) -> None:
        """Give each group its rate."""
        for group, rate in zip(self.groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self.present()

    def state_dict(self) -> dict[str, Any]:
        """All that the schedule needs to go on: plain numbers, text and lists."""
        return {name: value for name, value in self.__dict__.items() if name not in self.unsaved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave; the rates themselves are in the optimizer's state."""
        known = self.state_dict()
        unknown = sorted(set(state_dict) - set(known))
        missing = sorted(set(known) - set(state_dict))
        if unknown or missing:
            self.refuse(f"the state does not fit: unexpected {unknown}, missing {missing}")
        self.restore(state_dict)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set attributes from a state that has been checked."""
        self.__dict__.update(state)

    def __repr__(self) -> str:
        count = getattr(self, "last_epoch", None)
        return f"{type(self).__name__}(epoch={count}, lr={self.get_last_lr()})"

    def per_group(self, name: str, value: Any) -> list[float]:
        """A number for each group, from one number or a list."""
        count = len(self.groups)
        values = list(value) if isinstance(value, (list, tuple)) else [value] * count
        if len(values) != count:
            self.refuse(f"{name} needs {count} numbers, one for each parameter group, not {len(values)}")
        return values


def check_count(schedule: LRScheduler, name: str, value: Any, least: int = 1) -> None:
    """Raise unless ``value`` is an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        schedule.refuse(f"{name} must be an integer of at least {least}, not {value!r}")


def check_factor(schedule: LRScheduler, name: str, value: Any, positive: bool = False) -> None:
    """Raise unless ``value`` is a number from 0 (or above it) to 1."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
    if not fits or (positive and value == 0):
        schedule.refuse(
            f"{name} must be a number {'above 0 and' if positive else 'from 0'} up to 1, not {value!r}"
        )


class Momenta:
    """The momentum of an optimizer's groups, whatever it is called there."""

    def __init__(self, schedule: LRScheduler) -> None:
        self.schedule = schedule
        defaults = schedule.optimizer.defaults
        if "momentum" not in defaults and "betas" not in defaults:
            schedule.refuse(
                f"{type(schedule.optimizer).__name__} has no momentum to cycle: give cycle_momentum=False"
            )
        self.beta = "betas" in defaults

    def set(self, group: Group, value: float) -> None:
        """Give a group its momentum."""
        if self.beta:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value
