"""`emodetect doctor`."""

from __future__ import annotations

import sys

import click

from emodetect.cli.tables import hanging, print_json, table_or_json

COLORS = {"ok": "green", "absent": "yellow", "broken": "red"}


@click.command(short_help="Check this installation, and say how to fix it.")
@table_or_json(help="Output format; json prints a list after the last check.")
@click.option(
    "--report",
    is_flag=True,
    help="Print what a bug report needs, as text: the machine, versions and checks, without names "
    "of persons, hosts and folders.",
)
def doctor(output_format: str, report: bool) -> None:
    """Check this installation: what works, what is missing, and how to fix it.

    \b
    emodetect doctor
    emodetect doctor --report > report.txt

    The exit status is 1 if something is broken. Items marked absent are only needed
    by some commands.
    """
    from emodetect.doctor.checks import examine

    if report:
        from emodetect.doctor.report import bug_report

        if output_format == "json":
            raise click.UsageError("--report is a text; leave out --format json.")
        click.echo(bug_report(examine()))
        return
    findings = []
    for finding in examine():
        findings.append(finding)
        if output_format == "table":
            status = f"{finding.status:8}"
            click.secho(status, fg=COLORS[finding.status], nl=False)
            line = hanging(f"{status}{finding.name:18} ", finding.detail)
            click.echo(line.removeprefix(status))
            if finding.fix:
                click.echo(f"{'':26} -> {finding.fix}")
    if output_format == "json":
        print_json(findings)
    broken = sum(finding.status == "broken" for finding in findings)
    if output_format == "table":
        click.echo(
            f"{broken} broken"
            if broken
            else "Nothing is broken. Items marked absent are only needed by some commands."
        )
    sys.exit(broken > 0)
