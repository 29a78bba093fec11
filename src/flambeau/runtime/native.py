"""The native half of the runtime, as LLVM IR: the driver, and the loop that workers run in.

How tiles are handed out.  The control block holds how many tiles of the current call are still to
be taken (``remaining``: of the first half in its lower 32 bits, of the second in its upper ones) and how
many are still to be finished (``pending``).  A thread takes a tile of its own half, or where none is left
of the other one, by a compare-and-swap of ``remaining`` to one less, and reads what to run only after
that succeeded.  As long as a taken tile is unfinished ``pending`` is not 0, the caller cannot leave
the call, and the control block describes the call the tile belongs to.  So a worker that arrives
late either takes a tile of whatever call is current, and runs that one, or takes none; a number
that it saw earlier and that has come round again does no harm.  The halves are for the caches: the
same thread tends to have the same part of one call after the other.

Everything that differs between instruction sets is in ``_TARGETS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from flambeau.compiler import jit
from flambeau.compiler.target import Target

# The control block of a team of threads, in 8-byte words.  What different threads write at the same
# time lies on different cache lines.
REMAINING = 0
PENDING = 8
FUNCTION, ARGUMENTS, TILES = 16, 17, 18
STOP, IDLE_SPINS, ACTIVE_SPINS, WAIT_SPINS, YIELD, CROWDED = 24, 25, 26, 27, 28, 29
ACTIVE, SLEEPERS = 32, 33
CONTROL_WORDS = 40

# The frame of one run of a program: a header, then a base address per slot, then argument storage.
RECORDS, COUNT, NEXT, BUDGET, CONTROL, STATUS_SLOT, ASKED, STATUS, SOURCES, STORAGE = range(10)
HEADER_WORDS = 16

# A record per call, and a (slot, offset) pair per argument; slot -1 marks a plain integer.
R_FUNCTION, R_TILES, R_FIRST, R_ARGS, R_COST, R_PARALLEL, R_KIND, R_TARGET = range(8)
RECORD_WORDS = 8

# What a record is.  BIND has two pairs per slot: the slot, and the place it gets the address of.  STEP has
# a pair (slot, bytes), SWAP a pair of slots.  REPEAT counts to R_TILES in the storage word R_FIRST; BRANCH
# jumps where the byte at its pair's place equals R_TILES.  Jumps go R_TARGET records on.
CALL, BIND, STEP, SWAP, REPEAT, BRANCH, JUMP = range(7)

# What the driver returns.
DONE, AGAIN, WAKE, STOPPED = range(4)

# A parallel call at least this long (ns) is worth returning to Python for, to wake workers.
WAKE_COST = 100_000


@dataclass(frozen=True, slots=True)
class _TargetText:
    """What an instruction set needs: declarations, and IR for pausing and for the floating-point mode.

    ``flush`` defines ``%mode`` (an i64), the mode found, and sets one in which denormal numbers
    count as zero; ``restore`` sets the mode in ``%mode`` again.  Both may use ``%scratch``.
    """

    declare: str
    pause: str
    flush: str
    restore: str


_TARGETS = {
    "x86_64": _TargetText(
        declare=(
            "declare void @llvm.x86.sse2.pause()\n"
            "declare void @llvm.x86.sse.stmxcsr(ptr)\n"
            "declare void @llvm.x86.sse.ldmxcsr(ptr)"
        ),
        pause="call void @llvm.x86.sse2.pause()",
        # MXCSR: bit 15 flushes denormal results, bit 6 takes denormal operands for zero.
        flush=(
            "call void @llvm.x86.sse.stmxcsr(ptr %scratch)\n"
            "  %mode32 = load i32, ptr %scratch\n"
            "  %mode = zext i32 %mode32 to i64\n"
            "  %flushing = or i32 %mode32, 32832\n"
            "  store i32 %flushing, ptr %scratch\n"
            "  call void @llvm.x86.sse.ldmxcsr(ptr %scratch)"
        ),
        restore=(
            "%restored = trunc i64 %mode to i32\n"
            "  store i32 %restored, ptr %scratch\n"
            "  call void @llvm.x86.sse.ldmxcsr(ptr %scratch)"
        ),
    ),
    "aarch64": _TargetText(
        declare=(
            "declare void @llvm.aarch64.hint(i32)\n"
            "declare i64 @llvm.aarch64.get.fpcr()\n"
            "declare void @llvm.aarch64.set.fpcr(i64)"
        ),
        pause="call void @llvm.aarch64.hint(i32 1)",
        # FPCR: bit 24 (FZ) does both.  FZ16 stays off: x86 converts half precision without flushing.
        flush=(
            "%mode = call i64 @llvm.aarch64.get.fpcr()\n"
            "  %flushing = or i64 %mode, 16777216\n"
            "  call void @llvm.aarch64.set.fpcr(i64 %flushing)"
        ),
        restore="call void @llvm.aarch64.set.fpcr(i64 %mode)",
    ),
}

# Upper-case words in braces are word offsets from above; lower-case ones are a target's text.
_IR = """
target triple = "{triple}"
{declare}

; Taking and running tiles until none is left to take.
define internal void @help(ptr %control, i1 %second) nounwind {{
entry:
  %remaining = getelementptr i64, ptr %control, i64 {REMAINING}
  %pending = getelementptr i64, ptr %control, i64 {PENDING}
  %function.at = getelementptr i64, ptr %control, i64 {FUNCTION}
  %arguments.at = getelementptr i64, ptr %control, i64 {ARGUMENTS}
  %tiles.at = getelementptr i64, ptr %control, i64 {TILES}
  br label %look
look:
  %left = load atomic i64, ptr %remaining monotonic, align 8
  %none = icmp eq i64 %left, 0
  br i1 %none, label %out, label %take
take:
  %left.first = and i64 %left, 4294967295
  %left.second = lshr i64 %left, 32
  %left.own = select i1 %second, i64 %left.second, i64 %left.first
  %own = icmp ne i64 %left.own, 0
  %other = xor i1 %second, true
  %from.second = select i1 %own, i1 %second, i1 %other
  %left.there = select i1 %from.second, i64 %left.second, i64 %left.first
  %unit = select i1 %from.second, i64 4294967296, i64 1
  %less = sub i64 %left, %unit
  %swap = cmpxchg ptr %remaining, i64 %left, i64 %less acq_rel monotonic, align 8
  %mine = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %mine, label %run, label %look
run:
  %function = load ptr, ptr %function.at, align 8
  %arguments = load ptr, ptr %arguments.at, align 8
  %tiles = load i64, ptr %tiles.at, align 8
  %half = lshr i64 %tiles, 1
  %before = sub i64 %tiles, %half
  %end = select i1 %from.second, i64 %tiles, i64 %before
  %tile = sub i64 %end, %left.there
  call void %function(ptr %arguments, i64 %tile)
  %finished = atomicrmw sub ptr %pending, i64 1 release, align 8
  br label %look
out:
  ret void
}}

; A worker's stay: help whenever there is something to do; leave with 1 when the team is dissolved,
; with 0 after a while without work.
define i64 @flambeau_serve(ptr %control, i64 %number) nounwind {{
entry:
  %scratch = alloca i64, align 8
  %stop.at = getelementptr i64, ptr %control, i64 {STOP}
  %idle.at = getelementptr i64, ptr %control, i64 {IDLE_SPINS}
  %active.spins.at = getelementptr i64, ptr %control, i64 {ACTIVE_SPINS}
  %active.at = getelementptr i64, ptr %control, i64 {ACTIVE}
  %yield.at = getelementptr i64, ptr %control, i64 {YIELD}
  %crowded.at = getelementptr i64, ptr %control, i64 {CROWDED}
  %idle.limit = load i64, ptr %idle.at, align 8
  %active.limit = load i64, ptr %active.spins.at, align 8
  %yield = load ptr, ptr %yield.at, align 8
  %crowded = load i64, ptr %crowded.at, align 8
  %odd = trunc i64 %number to i1
  {flush}
  br label %work
work:
  call void @help(ptr %control, i1 %odd)
  br label %poll
poll:
  %spins = phi i64 [ 0, %work ], [ %spins.next, %again ]
  %remaining.at = getelementptr i64, ptr %control, i64 {REMAINING}
  %remaining = load atomic i64, ptr %remaining.at monotonic, align 8
  %some = icmp ne i64 %remaining, 0
  br i1 %some, label %work, label %check
check:
  %stop = load atomic i64, ptr %stop.at monotonic, align 8
  %stopped = icmp ne i64 %stop, 0
  br i1 %stopped, label %out, label %patience
patience:
  %active = load atomic i64, ptr %active.at monotonic, align 8
  %running = icmp ne i64 %active, 0
  %limit = select i1 %running, i64 %active.limit, i64 %idle.limit
  %spins.next = add i64 %spins, 1
  %tired = icmp uge i64 %spins.next, %limit
  br i1 %tired, label %out, label %wait
wait:
  {pause}
  %phase = and i64 %spins.next, 63
  %turn = icmp eq i64 %phase, 0
  %tight = icmp ne i64 %crowded, 0
  %give.way = and i1 %turn, %tight
  br i1 %give.way, label %yielding, label %again
yielding:
  %ignored = call i32 %yield()
  br label %again
again:
  br label %poll
out:
  %code = phi i64 [ 1, %check ], [ 0, %patience ]
  {restore}
  ret i64 %code
}}

; One call on every thread that comes, and its barrier.
define internal void @together(ptr %control, ptr %function, ptr %arguments, i64 %tiles) nounwind {{
entry:
  %remaining = getelementptr i64, ptr %control, i64 {REMAINING}
  %pending = getelementptr i64, ptr %control, i64 {PENDING}
  %function.at = getelementptr i64, ptr %control, i64 {FUNCTION}
  %arguments.at = getelementptr i64, ptr %control, i64 {ARGUMENTS}
  %tiles.at = getelementptr i64, ptr %control, i64 {TILES}
  %limit.at = getelementptr i64, ptr %control, i64 {WAIT_SPINS}
  %yield.at = getelementptr i64, ptr %control, i64 {YIELD}
  store ptr %function, ptr %function.at, align 8
  store ptr %arguments, ptr %arguments.at, align 8
  store i64 %tiles, ptr %tiles.at, align 8
  store atomic i64 %tiles, ptr %pending monotonic, align 8
  %half = lshr i64 %tiles, 1
  %before = sub i64 %tiles, %half
  %above = shl i64 %half, 32
  %both = or i64 %above, %before
  store atomic i64 %both, ptr %remaining release, align 8
  call void @help(ptr %control, i1 false)
  %limit = load i64, ptr %limit.at, align 8
  %yield = load ptr, ptr %yield.at, align 8
  %can.yield = icmp ne ptr %yield, null
  br label %wait
wait:
  %spins = phi i64 [ 0, %entry ], [ %spins.next, %again ]
  %left = load atomic i64, ptr %pending acquire, align 8
  %finished = icmp eq i64 %left, 0
  br i1 %finished, label %out, label %more
more:
  {pause}
  %spins.next = add i64 %spins, 1
  %long = icmp ugt i64 %spins.next, %limit
  %give.way = and i1 %long, %can.yield
  br i1 %give.way, label %yielding, label %again
yielding:
  %ignored = call i32 %yield()
  br label %again
again:
  br label %wait
out:
  ret void
}}

; The calls of a program in order, from frame.next on.  Returns DONE, AGAIN (time to look for
; signals), WAKE (a long call comes and workers sleep) or STOPPED (the status word is set).
define i64 @flambeau_drive(ptr %frame) nounwind {{
entry:
  %scratch = alloca i64, align 8
  %records.at = getelementptr i64, ptr %frame, i64 {RECORDS}
  %records = load ptr, ptr %records.at, align 8
  %count.at = getelementptr i64, ptr %frame, i64 {COUNT}
  %count = load i64, ptr %count.at, align 8
  %next.at = getelementptr i64, ptr %frame, i64 {NEXT}
  %first = load i64, ptr %next.at, align 8
  %budget.at = getelementptr i64, ptr %frame, i64 {BUDGET}
  %budget = load i64, ptr %budget.at, align 8
  %control.at = getelementptr i64, ptr %frame, i64 {CONTROL}
  %control = load ptr, ptr %control.at, align 8
  %status.slot.at = getelementptr i64, ptr %frame, i64 {STATUS_SLOT}
  %status.slot = load i64, ptr %status.slot.at, align 8
  %asked.at = getelementptr i64, ptr %frame, i64 {ASKED}
  %asked = load i64, ptr %asked.at, align 8
  %status.at = getelementptr i64, ptr %frame, i64 {STATUS}
  %sources.at = getelementptr i64, ptr %frame, i64 {SOURCES}
  %sources = load ptr, ptr %sources.at, align 8
  %storage.at = getelementptr i64, ptr %frame, i64 {STORAGE}
  %storage = load ptr, ptr %storage.at, align 8
  %bases = getelementptr i64, ptr %frame, i64 {HEADER_WORDS}
  %active.at = getelementptr i64, ptr %control, i64 {ACTIVE}
  %sleepers.at = getelementptr i64, ptr %control, i64 {SLEEPERS}
  %watch = icmp sge i64 %status.slot, 0
  %team = icmp ne ptr %control, null
  {flush}
  br i1 %team, label %activate, label %calls
activate:
  store atomic i64 1, ptr %active.at monotonic, align 8
  br label %calls
calls:
  %index = phi i64 [ %first, %entry ], [ %first, %activate ], [ %index.next, %next ]
  %spent = phi i64 [ 0, %entry ], [ 0, %activate ], [ %spent.next, %next ]
  %end = icmp uge i64 %index, %count
  br i1 %end, label %done, label %call
call:
  %row = mul i64 %index, {RECORD_WORDS}
  %record = getelementptr i64, ptr %records, i64 %row
  %function.at = getelementptr i64, ptr %record, i64 {R_FUNCTION}
  %function = load ptr, ptr %function.at, align 8
  %tiles.at = getelementptr i64, ptr %record, i64 {R_TILES}
  %tiles = load i64, ptr %tiles.at, align 8
  %first.at = getelementptr i64, ptr %record, i64 {R_FIRST}
  %first.arg = load i64, ptr %first.at, align 8
  %args.at = getelementptr i64, ptr %record, i64 {R_ARGS}
  %args = load i64, ptr %args.at, align 8
  %cost.at = getelementptr i64, ptr %record, i64 {R_COST}
  %cost = load i64, ptr %cost.at, align 8
  %parallel.at = getelementptr i64, ptr %record, i64 {R_PARALLEL}
  %parallel.word = load i64, ptr %parallel.at, align 8
  %kind.at = getelementptr i64, ptr %record, i64 {R_KIND}
  %kind = load i64, ptr %kind.at, align 8
  %target.at = getelementptr i64, ptr %record, i64 {R_TARGET}
  %target = load i64, ptr %target.at, align 8
  switch i64 %kind, label %launch [
    i64 {BIND}, label %bind
    i64 {STEP}, label %step
    i64 {SWAP}, label %swap
    i64 {REPEAT}, label %repeat
    i64 {BRANCH}, label %branch
    i64 {JUMP}, label %jump
  ]

bind:
  %b = phi i64 [ 0, %call ], [ %b.next, %bind ]
  %b.double = shl i64 %b, 1
  %b.which = add i64 %first.arg, %b.double
  %b.pair = shl i64 %b.which, 1
  %b.at = getelementptr i64, ptr %sources, i64 %b.pair
  %b.slot = load i64, ptr %b.at, align 8
  %b.from.at = getelementptr i64, ptr %b.at, i64 2
  %b.from = load i64, ptr %b.from.at, align 8
  %b.offset.at = getelementptr i64, ptr %b.at, i64 3
  %b.offset = load i64, ptr %b.offset.at, align 8
  %b.base.at = getelementptr i64, ptr %bases, i64 %b.from
  %b.base = load i64, ptr %b.base.at, align 8
  %b.address = add i64 %b.base, %b.offset
  %b.to = getelementptr i64, ptr %bases, i64 %b.slot
  store i64 %b.address, ptr %b.to, align 8
  %b.next = add i64 %b, 1
  %b.all = icmp eq i64 %b.next, %args
  br i1 %b.all, label %onwards, label %bind

step:
  %s = phi i64 [ 0, %call ], [ %s.next, %step ]
  %s.which = add i64 %first.arg, %s
  %s.pair = shl i64 %s.which, 1
  %s.at = getelementptr i64, ptr %sources, i64 %s.pair
  %s.slot = load i64, ptr %s.at, align 8
  %s.bytes.at = getelementptr i64, ptr %s.at, i64 1
  %s.bytes = load i64, ptr %s.bytes.at, align 8
  %s.base.at = getelementptr i64, ptr %bases, i64 %s.slot
  %s.base = load i64, ptr %s.base.at, align 8
  %s.moved = add i64 %s.base, %s.bytes
  store i64 %s.moved, ptr %s.base.at, align 8
  %s.next = add i64 %s, 1
  %s.all = icmp eq i64 %s.next, %args
  br i1 %s.all, label %onwards, label %step

swap:
  %w = phi i64 [ 0, %call ], [ %w.next, %swap ]
  %w.which = add i64 %first.arg, %w
  %w.pair = shl i64 %w.which, 1
  %w.at = getelementptr i64, ptr %sources, i64 %w.pair
  %w.one = load i64, ptr %w.at, align 8
  %w.other.at = getelementptr i64, ptr %w.at, i64 1
  %w.other = load i64, ptr %w.other.at, align 8
  %w.one.base.at = getelementptr i64, ptr %bases, i64 %w.one
  %w.other.base.at = getelementptr i64, ptr %bases, i64 %w.other
  %w.one.base = load i64, ptr %w.one.base.at, align 8
  %w.other.base = load i64, ptr %w.other.base.at, align 8
  store i64 %w.other.base, ptr %w.one.base.at, align 8
  store i64 %w.one.base, ptr %w.other.base.at, align 8
  %w.next = add i64 %w, 1
  %w.all = icmp eq i64 %w.next, %args
  br i1 %w.all, label %onwards, label %swap

repeat:
  %counter.at = getelementptr i64, ptr %storage, i64 %first.arg
  %counter = load i64, ptr %counter.at, align 8
  %counter.next = add i64 %counter, 1
  %counted = icmp sge i64 %counter.next, %tiles
  %counter.kept = select i1 %counted, i64 0, i64 %counter.next
  store i64 %counter.kept, ptr %counter.at, align 8
  br i1 %counted, label %onwards, label %jump

branch:
  %byte.pair = shl i64 %first.arg, 1
  %byte.source = getelementptr i64, ptr %sources, i64 %byte.pair
  %byte.slot = load i64, ptr %byte.source, align 8
  %byte.offset.at = getelementptr i64, ptr %byte.source, i64 1
  %byte.offset = load i64, ptr %byte.offset.at, align 8
  %byte.base.at = getelementptr i64, ptr %bases, i64 %byte.slot
  %byte.base = load ptr, ptr %byte.base.at, align 8
  %byte.at = getelementptr i8, ptr %byte.base, i64 %byte.offset
  %byte = load i8, ptr %byte.at
  %byte.wide = zext i8 %byte to i64
  %chosen = icmp eq i64 %byte.wide, %tiles
  br i1 %chosen, label %jump, label %onwards

jump:
  %index.target = add i64 %index, %target
  br label %moved
onwards:
  %index.onwards = add i64 %index, 1
  br label %moved
moved:
  %index.moved = phi i64 [ %index.target, %jump ], [ %index.onwards, %onwards ]
  br label %account

launch:
  %wants = icmp ne i64 %parallel.word, 0
  %parallel = and i1 %wants, %team
  br i1 %parallel, label %wake.check, label %resolve
wake.check:
  %long = icmp sge i64 %cost, {WAKE_COST}
  %unasked = icmp ne i64 %asked, %index
  %sleepers = load atomic i64, ptr %sleepers.at monotonic, align 8
  %asleep = icmp ne i64 %sleepers, 0
  %ask.a = and i1 %long, %unasked
  %ask = and i1 %ask.a, %asleep
  br i1 %ask, label %wake, label %resolve
wake:
  store i64 %index, ptr %asked.at, align 8
  store i64 %index, ptr %next.at, align 8
  br label %leave

resolve:
  %none = icmp eq i64 %args, 0
  br i1 %none, label %ready, label %argument
argument:
  %a = phi i64 [ 0, %resolve ], [ %a.next, %stored ]
  %which = add i64 %first.arg, %a
  %pair = shl i64 %which, 1
  %source = getelementptr i64, ptr %sources, i64 %pair
  %slot = load i64, ptr %source, align 8
  %offset.at = getelementptr i64, ptr %source, i64 1
  %offset = load i64, ptr %offset.at, align 8
  %place = getelementptr i64, ptr %storage, i64 %a
  %plain = icmp slt i64 %slot, 0
  br i1 %plain, label %integer, label %pointer
integer:
  store i64 %offset, ptr %place, align 8
  br label %stored
pointer:
  %base.at = getelementptr i64, ptr %bases, i64 %slot
  %base = load ptr, ptr %base.at, align 8
  %address = getelementptr i8, ptr %base, i64 %offset
  store ptr %address, ptr %place, align 8
  br label %stored
stored:
  %a.next = add i64 %a, 1
  %all = icmp eq i64 %a.next, %args
  br i1 %all, label %ready, label %argument

ready:
  br i1 %parallel, label %many, label %alone
many:
  call void @together(ptr %control, ptr %function, ptr %storage, i64 %tiles)
  br label %ran
alone:
  %empty = icmp sle i64 %tiles, 0
  br i1 %empty, label %ran, label %tile
tile:
  %t = phi i64 [ 0, %alone ], [ %t.next, %tile ]
  call void %function(ptr %storage, i64 %t)
  %t.next = add i64 %t, 1
  %last = icmp eq i64 %t.next, %tiles
  br i1 %last, label %ran, label %tile

ran:
  %index.after = add i64 %index, 1
  br i1 %watch, label %look, label %account
look:
  %word.at.at = getelementptr i64, ptr %bases, i64 %status.slot
  %word.at = load ptr, ptr %word.at.at, align 8
  %word = load i64, ptr %word.at, align 8
  %bad = icmp ne i64 %word, 0
  br i1 %bad, label %stop, label %account
stop:
  store i64 %word, ptr %status.at, align 8
  br label %finish
account:
  %index.next = phi i64 [ %index.after, %ran ], [ %index.after, %look ], [ %index.moved, %moved ]
  %spent.next = add i64 %spent, %cost
  %over = icmp sge i64 %spent.next, %budget
  %more = icmp ult i64 %index.next, %count
  %pause.here = and i1 %over, %more
  br i1 %pause.here, label %again, label %next
next:
  br label %calls
again:
  store i64 %index.next, ptr %next.at, align 8
  br label %leave

done:
  br label %finish
finish:
  %result = phi i64 [ {STOPPED}, %stop ], [ {DONE}, %done ]
  store i64 0, ptr %next.at, align 8
  store i64 -1, ptr %asked.at, align 8
  br label %leave
leave:
  %code = phi i64 [ {WAKE}, %wake ], [ {AGAIN}, %again ], [ %result, %finish ]
  br i1 %team, label %deactivate, label %out
deactivate:
  store atomic i64 0, ptr %active.at monotonic, align 8
  br label %out
out:
  {restore}
  ret i64 %code
}}

; Passing the time, so that the length of a pause can be measured.
define void @flambeau_spin(i64 %count) nounwind {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  {pause}
  %next = add i64 %i, 1
  %end = icmp uge i64 %next, %count
  br i1 %end, label %out, label %loop
out:
  ret void
}}
"""


def text(target: Target) -> str:
    """The LLVM IR of the runtime for ``target``; raises ``KeyError`` for an unknown architecture."""
    architecture = target.triple.split("-", 1)[0]
    parts = _TARGETS[{"amd64": "x86_64", "arm64": "aarch64"}.get(architecture, architecture)]
    words = {name: value for name, value in globals().items() if name.isupper() and type(value) is int}
    return _IR.format(
        triple=target.triple,
        declare=parts.declare,
        pause=parts.pause,
        flush=parts.flush,
        restore=parts.restore,
        **words,
    )


@dataclass(frozen=True, slots=True)
class Entries:
    """Addresses of the native functions in this process."""

    serve: int
    drive: int
    spin: int


@cache
def entries() -> Entries:
    """The native functions, compiled or loaded from disk at the first call."""
    found = jit.load({"runtime": text(Target.host())})
    return Entries(found["flambeau_serve"], found["flambeau_drive"], found["flambeau_spin"])
