"""How the source is laid out: a test file a module, few names at the top, types in signatures."""

import ast
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MODULES = sorted(
    str(path.relative_to(ROOT))
    for top in ("keras_se", "mobile")
    for path in (ROOT / top).rglob("*.py")
)
#: What is tested elsewhere.
ELSEWHERE = {
    "mobile/cli/keras_se_command/__init__.py": "test_packaging.py",  # only there it is installed
}


def _defines(path):
    """Whether a module holds more than imports: a package that only gathers names does not."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return any(isinstance(each, kinds) for each in ast.parse(path.read_text()).body)


@pytest.mark.parametrize("module", [name for name in MODULES if _defines(ROOT / name)])
def test_a_module_has_a_test_file_of_its_own(module):
    path = pathlib.PurePath(module)
    own = {"__init__": f"test_{path.parent.name}_init", "__main__": "test_main"}
    name = f"{own.get(path.stem, f'test_{path.stem}')}.py"
    test = ELSEWHERE.get(module, path.parent / name)
    assert (ROOT / "tests" / test).exists(), f"tests/{test} is to test {module}"


def test_mobile_shows_a_newcomer_few_folders_and_files():
    shown = [path for path in (ROOT / "mobile").iterdir() if path.name != "__pycache__"]
    folders = [path for path in shown if path.is_dir()]
    assert len(folders) <= 11 and len(shown) - len(folders) <= 6, sorted(shown)


def _dotted(module):
    """The name by which a module is imported."""
    return module.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _imported(module):
    """Yield what a module imports, also in functions and for types alone."""
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level or module.startswith("mobile/devices/agent/")  # one zip there
            above = _dotted("/".join(pathlib.PurePath(module).parts[: -node.level or None]))
            base = f"{above}.{node.module or ''}".rstrip(".") if node.level else node.module
            for each in node.names:
                inner = f"{base}.{each.name}"
                yield inner if inner in NAMES else base


NAMES = {_dotted(module) for module in MODULES}


def test_no_module_imports_itself_through_others_for_types_either():
    """The contracts see what a program follows; the faces of packages gather names from below."""
    order = graphlib.TopologicalSorter()
    for module in MODULES:
        if not module.endswith("__init__.py"):
            order.add(_dotted(module), *(NAMES & set(_imported(module))))
    order.prepare()  # raises a CycleError that names the circle


def _functions(node):
    """Yield functions and methods, also those below an `if`, but none that stand in another."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            yield each
        else:
            yield from _functions(each)


def _without_type(function):
    """What of a function says no type. What a command returns is for typer alone."""
    given, is_command = (
        function.args,
        any("command" in ast.unparse(x) for x in function.decorator_list),
    )
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    found = [x.arg for x in arguments if x and not x.annotation and x.arg not in ("self", "cls")]
    return found + ["what it returns"] * (function.returns is None and not is_command)


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_and_methods_say_their_types(module):
    public = [f for f in _functions(ast.parse((ROOT / module).read_text())) if f.name[0] != "_"]
    bare = {f"{f.name}, line {f.lineno}": lacking for f in public if (lacking := _without_type(f))}
    assert not bare, f"annotate in {module}: {bare}"
