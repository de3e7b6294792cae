"""The public names: what is said of them is the same everywhere, and their docstrings' examples do what they show."""

import ast
import doctest
import importlib
import inspect

import pytest

import crn_tf


def declared() -> dict[str, str]:
    """The public names that editors and type checkers see, and the modules they come from."""
    statements = ast.parse(inspect.getsource(crn_tf)).body
    (checked,) = (s.body for s in statements if isinstance(s, ast.If) and ast.unparse(s.test) == "TYPE_CHECKING")
    return {alias.name: statement.module for statement in checked for alias in statement.names}


def docstring(name: str) -> str:
    """Of a function or a class; a constant is described where it is defined."""
    public = getattr(crn_tf, name)
    described = inspect.isclass(public) or inspect.isroutine(public)
    return inspect.getdoc(public if described else importlib.import_module(declared()[name])) or ""


@pytest.mark.parametrize("name", crn_tf.__all__)
def test_the_example_of_a_public_name_does_what_it_shows(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for those that write files
    # Nothing is at hand that a reader would not have: an example imports what it uses.
    example = doctest.DocTestParser().get_doctest(docstring(name), {}, name, None, None)
    assert any(name in line.source for line in example.examples), f"no example shows {name}"
    failed = doctest.DocTestRunner(verbose=False).run(example).failed
    assert not failed, capsys.readouterr().out


def test_a_public_name_is_what_editors_and_type_checkers_believe():
    assert declared() == {name: f"crn_tf.{module}" for name, module in crn_tf._MODULE_OF.items()}
    assert sorted(crn_tf.__all__) == sorted(declared()) and set(crn_tf.__all__) <= set(dir(crn_tf))
    for name, module in declared().items():
        assert getattr(crn_tf, name) is getattr(importlib.import_module(module), name)


def test_other_names_are_refused_as_of_any_module():
    with pytest.raises(AttributeError, match="module 'crn_tf' has no attribute 'nothing'"):
        crn_tf.nothing  # noqa: B018 (it raises)
    with pytest.raises(ImportError):
        from crn_tf import nothing  # noqa: F401
