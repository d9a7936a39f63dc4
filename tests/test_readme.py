"""README and command line say the same: every command shown exists, every command is shown."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from abaw.cli import main

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
MAKEFILE = (Path(__file__).resolve().parents[1] / "Makefile").read_text()


def leaf_commands(
    group: click.Group = main, prefix: str = ""
) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaf_commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def shown_lines(text: str) -> list[str]:
    """Lines of code blocks that call abaw, with continued lines joined and prompts taken off."""
    blocks = re.findall(r"```(?:sh|console|bash|text)?\n(.*?)```", text, flags=re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    lines = (line.strip().removeprefix("$ ").split(" #")[0].strip() for line in joined.splitlines())
    return [line for line in lines if line.startswith("abaw ")]


COMMANDS = dict(leaf_commands())


def problem(line: str) -> str | None:
    """What is wrong with a shown command line, or None."""
    words = shlex.split(line)[1:]
    if words[0] in {"--help", "--version"}:
        return None
    name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in COMMANDS), None)
    if name is None:
        return f"`{line}` calls no command of the command line"
    options = {opt for param in COMMANDS[name].params for opt in param.opts}
    options |= {"-h", "--help"}
    used = {word.split("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)}
    unknown = sorted(used - options)
    return f"`{line}` uses {unknown}, which `abaw {name}` does not have" if unknown else None


@pytest.mark.parametrize("line", shown_lines(README))
def test_a_command_shown_in_the_readme_exists(line: str):
    assert problem(line) is None


@pytest.mark.parametrize("line", ["abaw temporal-trian x", "abaw score a.csv --jason"])
def test_the_check_sees_a_command_that_does_not_exist(line: str):
    assert problem(line) is not None


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_in_the_readme_table(name: str):
    assert re.search(rf"^\| `abaw {name}[ `]", README, flags=re.MULTILINE), name


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_commands_help_holds_an_example_that_parses(name: str):
    help_text = COMMANDS[name].help or ""
    examples = [line.strip() for line in help_text.split("Example:")[-1].splitlines()]
    examples = [line for line in examples if line.startswith("abaw ")]
    assert "Example:" in help_text
    assert examples
    assert [problem(line) for line in examples] == [None] * len(examples)


def test_every_make_target_shown_in_the_readme_exists():
    shown = set(re.findall(r"^(?:\$ )?make ([a-z-]+)", README, flags=re.MULTILINE))
    shown |= set(re.findall(r"`make ([a-z-]+)", README))
    assert shown
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
    assert shown <= targets, shown - targets
