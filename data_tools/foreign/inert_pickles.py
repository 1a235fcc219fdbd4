"""Pickles, interpreted and never unpickled.

The instructions of a pickle are carried out on things that do nothing: a name
in it stays text (`Global`), and what a call of it would have made is a note of
the call (`Made`). Nothing is imported, called or compared, so nothing in a
pickle can run. Neither can it take long or fill the memory: instructions are
counted, no dictionary is built of keys that it chose, and what others have
built makes none costlier.

Callers take what they know, and leave the rest. A pickle that names what runs
programs is refused all the same: whoever made it means harm.
"""

from collections.abc import Callable
import dataclasses
import pickletools
from typing import Any

from data_tools.foreign import zip_files

MOST_INSTRUCTIONS = 1 << 20

_MOST_NAME_LENGTH = 256  # of a module or of something in it
_MOST_MEMO = 1 << 32

# What no file of numbers names. Nothing depends on this list: the names that
# are not in it run as little.
_RUNNING_MODULES = frozenset(
  "asyncio bdb code codeop commands ctypes importlib imp marshal nt os pdb "
  "pickle pip posix pty runpy shutil socket subprocess sys timeit "
  "webbrowser".split()
)
_RUNNING_BUILTINS = frozenset(
  "__import__ apply breakpoint compile delattr eval exec execfile exit file "
  "globals input locals open quit raw_input setattr vars".split()
)


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Global:
  """A name; what it would stand for is not looked up."""

  name: str  # "module name"


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Persistent:
  """Something that lies outside of the pickle."""

  identity: Any


@dataclasses.dataclass(eq=False, slots=True)
class Table:
  """A dictionary, as it was written down: a later pair of a key counts."""

  pairs: list[tuple[Any, Any]]


@dataclasses.dataclass(eq=False, slots=True)
class Made:
  """What a call would have made, and what would have been done to it."""

  function: Any  # nearly always a `Global`
  arguments: Any  # a tuple, in pickles that Python wrote
  states: list[Any] | None = None  # handed over afterwards
  pairs: list[tuple[Any, Any]] | None = None  # set in it, as in a dictionary
  values: list[Any] | None = None  # appended or added

  @property
  def bare(self) -> bool:
    """Whether nothing was done to it."""
    return self.states is self.pairs is self.values is None


class Refused(ValueError):
  """Something in a pickle that is not allowed."""


def interpret(data: bytes) -> Any:
  """What a pickle describes.

  Args:
    data: the pickle, of any protocol.

  Returns:
    None, a truth value, a number (of any size), text, bytes, a tuple or a list
    of such, or one of the classes above. It may hold itself, and be as deep as
    the pickle is long: never walk it without a bound.

  Raises:
    Refused: too long, or it names what runs programs.
    ValueError: damaged.
  """
  machine = _Machine()
  try:
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
      if count == MOST_INSTRUCTIONS:
        raise Refused(f"the pickle has over {MOST_INSTRUCTIONS} instructions")
      machine.run(opcode.name, argument)
  except Refused:
    raise
  except Exception as error:  # a damaged pickle breaks anywhere
    raise ValueError(f"damaged pickle: {zip_files.one_line(error)}") from error
  return machine.result


def describe(value: Any) -> str:
  """What a thing is, in a few words for a message."""
  match value:
    case Global(name):
      return zip_files.shown(name.replace(" ", ".", 1))
    case Made(function=Global() as function):
      return f"a call of {describe(function)}"
    case Made():
      return "an object"
    case Persistent():
      return "a storage"
    case Table():
      return "a dictionary"
    case None | bool():
      return str(value)
    case str():
      return "text"
    case int():
      return "a whole number"
  return f"a {type(value).__name__}"


def is_call(value: Any, *names: str) -> bool:
  """Whether it would have been made by a call of one of these names."""
  return (
    isinstance(value, Made)
    and isinstance(value.function, Global)
    and value.function.name in names
  )


class _Machine:
  """Carries out one instruction after the other."""

  def __init__(self) -> None:
    self.result: Any = None
    self._stack: list[Any] = []
    # What lay on the stack below every mark: to go back to the last one takes
    # no search.
    self._below: list[list[Any]] = []
    self._memo: dict[int, Any] = {}

  def run(self, opcode: str, argument: Any) -> None:
    if opcode in _VALUES:
      self._stack.append(argument)
    elif opcode in _CONSTANTS:
      self._stack.append(_CONSTANTS[opcode]())
    elif opcode in _TUPLES:
      self._tuple(_TUPLES[opcode])
    elif opcode in _FROM_MARK:
      _FROM_MARK[opcode](self, self._to_mark())
    elif opcode in _FROM_STACK:
      _FROM_STACK[opcode](self)
    elif opcode in _WITH_ARGUMENT:
      _WITH_ARGUMENT[opcode](self, argument)
    elif opcode not in ("PROTO", "FRAME"):
      raise Refused(f"the pickle uses opcode {opcode}")

  def mark(self) -> None:
    self._below.append(self._stack)
    self._stack = []

  def _to_mark(self) -> list[Any]:
    values, self._stack = self._stack, self._below.pop()
    return values

  def _tuple(self, length: int) -> None:
    if length > len(self._stack):
      raise Refused("a tuple of more than there is")
    values = self._stack[-length:]
    del self._stack[-length:]
    self._stack.append(tuple(values))

  def push(self, value: Any) -> None:
    self._stack.append(value)

  def take(self) -> Any:
    return self._stack.pop()

  def take_two(self) -> list[Any]:
    second = self._stack.pop()
    return [self._stack.pop(), second]

  @property
  def kept(self) -> int:
    return len(self._memo)

  def pop(self) -> None:
    if self._stack:
      self._stack.pop()
    else:
      self._to_mark()

  def duplicate(self) -> None:
    self._stack.append(self._stack[-1])

  def name(self, module: Any, name: Any) -> None:
    for part in (module, name):
      if not isinstance(part, str):
        raise Refused("the pickle names what is no text")
      # Text is kept and recalled at no cost, but joined at some.
      if len(part) > _MOST_NAME_LENGTH:
        raise Refused(f"the pickle names {zip_files.shown(part)}")
    inside = _RUNNING_BUILTINS if module in _BUILTINS else ()
    if module.split(".")[0] in _RUNNING_MODULES or name in inside:
      called = zip_files.shown(f"{module}.{name}")
      raise Refused(f"the pickle names {called}, which runs things")
    self._stack.append(Global(f"{module} {name}"))

  def name_of_stack(self) -> None:
    name, module = self._stack.pop(), self._stack.pop()
    self.name(module, name)

  def call(self) -> None:
    arguments, function = self._stack.pop(), self._stack.pop()
    self._stack.append(Made(function, arguments))

  def call_with_names(self) -> None:
    named, arguments = self._stack.pop(), self._stack.pop()
    self._stack.append(Made(self._stack.pop(), (arguments, named)))

  def instance(self, argument: str) -> None:
    values = self._to_mark()
    self.name(*argument.split(" ", 1))
    self._stack.append(Made(self._stack.pop(), tuple(values)))

  def build(self) -> None:
    state, target = self._stack.pop(), self._stack[-1]
    if not isinstance(target, Made):
      raise Refused("the pickle sets attributes of what has none")
    target.states = target.states or []
    target.states.append(state)

  def extend(self, values: list[Any]) -> None:
    target = self._stack[-1]
    if isinstance(target, Made):
      target.values = target.values or []
      target = target.values
    if not isinstance(target, list):
      raise Refused("the pickle appends to what is no list")
    target.extend(values)

  def set_items(self, values: list[Any]) -> None:
    target = self._stack[-1]
    if not isinstance(target, Table | Made):
      raise Refused("the pickle sets items of what is no dictionary")
    if target.pairs is None:
      target.pairs = []
    target.pairs.extend(zip(values[::2], values[1::2], strict=True))

  def keep(self, number: int) -> None:
    if not 0 <= number < _MOST_MEMO:
      raise Refused("the pickle keeps something under an odd number")
    self._memo[number] = self._stack[-1]

  def recall(self, number: int) -> None:
    if number not in self._memo:
      number = min(number, _MOST_MEMO)  # such may have thousands of digits
      raise Refused(f"the pickle recalls {number}, which it never kept")
    self._stack.append(self._memo[number])

  def stop(self) -> None:
    (self.result,) = self._stack
    if self._below:
      raise Refused("the pickle ends within a mark")


_BUILTINS = ("builtins", "__builtin__")
_VALUES = frozenset(
  "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING "
  "SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE "
  "SHORT_BINUNICODE BINUNICODE BINUNICODE8".split()
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
  "NONE": lambda: None,
  "NEWTRUE": lambda: True,
  "NEWFALSE": lambda: False,
  "EMPTY_TUPLE": tuple,
  "EMPTY_LIST": list,
  "EMPTY_DICT": lambda: Table([]),
  "EMPTY_SET": lambda: Made(Global("builtins set"), ()),
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
# With what lies above the last mark.
_FROM_MARK: dict[str, Callable[[_Machine, list[Any]], None]] = {
  "POP_MARK": lambda machine, values: None,
  "TUPLE": lambda machine, values: machine.push(tuple(values)),
  "LIST": lambda machine, values: machine.push(values),
  "DICT": lambda machine, values: machine.push(
    Table(list(zip(values[::2], values[1::2], strict=True)))
  ),
  "FROZENSET": lambda machine, values: machine.push(
    Made(Global("builtins frozenset"), (values,))
  ),
  "OBJ": lambda machine, values: machine.push(
    Made(values[0], tuple(values[1:]))
  ),
  "APPENDS": _Machine.extend,
  "ADDITEMS": _Machine.extend,
  "SETITEMS": _Machine.set_items,
}
_FROM_STACK: dict[str, Callable[[_Machine], None]] = {
  "MARK": _Machine.mark,
  "POP": _Machine.pop,
  "DUP": _Machine.duplicate,
  "STACK_GLOBAL": _Machine.name_of_stack,
  "REDUCE": _Machine.call,
  "NEWOBJ": _Machine.call,
  "NEWOBJ_EX": _Machine.call_with_names,
  "BUILD": _Machine.build,
  "APPEND": lambda machine: machine.extend([machine.take()]),
  "SETITEM": lambda machine: machine.set_items(machine.take_two()),
  "BINPERSID": lambda machine: machine.push(Persistent(machine.take())),
  "MEMOIZE": lambda machine: machine.keep(machine.kept),
  "STOP": _Machine.stop,
}
_WITH_ARGUMENT: dict[str, Callable[[_Machine, Any], None]] = {
  "GLOBAL": lambda machine, argument: machine.name(*argument.split(" ", 1)),
  "INST": lambda machine, argument: machine.instance(argument),
  **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.keep),
  **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
}
