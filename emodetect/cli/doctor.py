"""`emodetect doctor`."""

from __future__ import annotations

import sys

import click

from emodetect.cli.options.output_format import table_or_json

COLORS = {"ok": "green", "absent": "yellow", "broken": "red"}


@click.command()
@table_or_json(help="json prints a list once all is checked.")
def doctor(output_format: str) -> None:
    """Check this installation: what works, what is absent, and the command that mends it.

    \b
    emodetect doctor

    Exit status 1 if something is broken; what is absent is for some commands.
    """
    from emodetect.doctor.checks import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if output_format == "table":
            click.secho(f"{finding.status:8}", fg=COLORS[finding.status], nl=False)
            click.echo(f"{finding.name:18} {finding.detail}")
            if finding.mend:
                click.echo(f"{'':26} -> {finding.mend}")
    if output_format == "json":
        import json
        from dataclasses import asdict

        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    broken = sum(finding.status == "broken" for finding in findings)
    if output_format == "table":
        click.echo(
            f"{broken} broken"
            if broken
            else "all that must work works; the rest is for some commands"
        )
    sys.exit(broken > 0)
