"""axe-core, which finds what keeps people from using a page; it comes from npm, where there is one."""

import subprocess
import tarfile
from pathlib import Path

from playwright.sync_api import Page

from tests.needs import leave_out, needs_program

PACKAGE = "axe-core@4"
FETCH_TIMEOUT_S = 120
_RUN = """async rules => (await axe.run(document, rules ? {runOnly: rules} : {})).violations.map(
    wrong => `${wrong.id}: ${wrong.help}: ${wrong.nodes.slice(0, 4).map(node => node.target).join(', ')}`
)"""


def fetched(folder: Path) -> str:
    """Its script, fetched into an empty folder; without npm or a registry the test is left out."""
    command = [needs_program("npm"), "pack", "--silent", "--prefer-offline", PACKAGE]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=FETCH_TIMEOUT_S
    )
    if done.returncode:
        leave_out(f"npm cannot fetch {PACKAGE}: {done.stderr[-500:]}")
    archive = next(folder.glob("*.tgz"))
    with tarfile.open(archive) as files:
        script = files.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def violations(page: Page, script: str, *rules: str) -> list[str]:
    """What is wrong with the page as it stands, by all rules or by these alone."""
    page.evaluate(script)
    found: list[str] = page.evaluate(_RUN, list(rules) or None)
    return found
