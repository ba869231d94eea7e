"""What a recipe's files are held to, and whether they keep it."""

from __future__ import annotations

from collections.abc import Iterator

from smalti.export.verify import FLOAT_TOLERANCE
from smalti.models.about import About
from smalti.models.zoo import report
from smalti.models.zoo.kept import Results
from smalti.quant.plan import FLOAT

LIMITS = {"4 bit": 0.01, "3 bit": 0.03}  # how much worse than in Torch, relative


def bars(about: About, results: Results) -> Iterator[str]:
    """Yield a line for each bar, with what was found in the worse engine."""
    float_files = [s for s in results.scores.get(FLOAT, {}).values() if not s.reason]
    if float_files:
        error = max(score.error for score in float_files)
        verdict = _verdict(error, FLOAT_TOLERANCE)
        yield f"in float within {FLOAT_TOLERANCE:g} of Torch: {verdict} ({error:.1g})"
    for row, limit in LIMITS.items():
        found = [report.change(about, results, row, engine) for engine in results.engines]
        known = [change for change in found if change is not None]
        if known:
            worst = max(known)
            yield f"{row} within {limit:.0%}: {_verdict(worst, limit)} ({report.percent(worst)})"


def _verdict(found: float, limit: float) -> str:
    return "yes" if found <= limit else "**no**"
