"""The house: no import circle, no private name of another room, no long file, no crowded folder."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("fairseq_scaling", "preprocess")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of what a file imports, inside functions too; not for the types alone."""
    tree = ast.parse(path.read_text("utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    here = module_of(path).split(".")
    package = here if path.name == "__init__.py" else here[:-1]
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in for_types:
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
        for alias in node.names:
            yield (f"{module}.{alias.name}", "") if f"{module}.{alias.name}" in MODULES else (module, alias.name)


GRAPH = {name: {module for module, _ in imports_of(path) if module in MODULES} for name, path in MODULES.items()}


def test_no_import_runs_in_a_circle() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        # A package's face imports from its rooms, and they from each other: only files count.
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done or MODULES[name].name == "__init__.py":
            return
        for other in sorted(GRAPH[name]):
            visit(other, (*path, name))
        done.add(name)

    for name in sorted(MODULES):
        visit(name, ())


def test_nobody_imports_a_private_name_from_another_room() -> None:
    found = []
    for name, path in MODULES.items():
        room = name.rpartition(".")[0]
        for module, imported in imports_of(path):
            private = imported.startswith("_") and not imported.startswith("__")
            hidden = any(part.startswith("_") and not part.startswith("__") for part in module.split("."))
            if (private or hidden) and module in MODULES and module.rpartition(".")[0] != room:
                found.append(f"{name} imports {module} {imported}".strip())
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_longer_than_400_lines_and_no_folder_holds_more_than_14(package: str) -> None:
    files = [path for path in FILES if path.is_relative_to(ROOT / package)]
    assert [path.name for path in files if len(path.read_text("utf-8").splitlines()) > 400] == []
    folders = {path.parent for path in files}
    assert [folder.name for folder in folders if len(list(folder.glob("*.py"))) > 14] == []


def test_no_test_imports_from_another_test_module() -> None:
    found = [
        f"{path.name}: {node.module}"
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2].startswith("test_")
    ]
    assert found == []
