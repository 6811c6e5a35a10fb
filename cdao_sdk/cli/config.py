"""``cdao config``: the settings in force."""

from __future__ import annotations

import json

import click
import rich_click

from cdao_sdk.cli.tables import aligned

__all__ = ["config"]


@rich_click.group()
def config() -> None:
    """See what is configured.

    \b
    Settings are never written by cdao; it reads them from several places.
    \b
    Example:
      cdao config show
    """


@config.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object: setting, value, source.")
def show(*, as_json: bool) -> None:
    """Show each setting, its value and where it came from.

    \b
    The first that names it wins: configure(), the environment (CDAO_<NAME>),
    .flyte/cdao.toml, [tool.cdao] in pyproject.toml, Flyte's .flyte/config.yaml.
    \b
    Examples:
      cdao config show
      CDAO_PROJECT=ml cdao config show --json
    """
    from cdao_sdk.settings import holder

    gathered = holder.gather()
    values = gathered.settings.model_dump(mode="json")
    if as_json:
        document = {
            name: {"value": value, "source": gathered.sources[name]}
            for name, value in values.items()
        }
        click.echo(json.dumps(document, indent=2))
        return
    rows = [(name, _words(value), gathered.sources[name]) for name, value in values.items()]
    click.echo(aligned(("SETTING", "VALUE", "FROM"), rows))


def _words(value: object) -> str:
    if value in (None, {}):
        return "-"
    return value if isinstance(value, str) else json.dumps(value)
