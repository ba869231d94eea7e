"""What `smalti plan` does, without its printing."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

import torch
from rich.console import Console

from smalti.devices.profile import Device
from smalti.export.calibrate import Calibration, Progress, calibrate
from smalti.export.fold import Folded, fold_
from smalti.export.recipe import Recipe
from smalti.export.settings import Settings
from smalti.export.timing import time_costs
from smalti.quant.apply import quantize_
from smalti.quant.drop import measured_drop
from smalti.quant.jobs import jobs_that_pay
from smalti.quant.plan import PlanFacts
from smalti.quant.planner import DEFAULT_FORMATS, Budget, Planned, make_plan
from smalti.quant.sensitivity import costs
from smalti.runtime.format import parse_format

METRIC = {"values": "1/2 ||f - f'||^2", "logits": "KL divergence"}


@dataclass(frozen=True)
class PlanReport:
    """A plan, what is predicted and measured of it, and what was folded before."""

    planned: Planned
    facts: PlanFacts
    folds: list[Folded]

    def rows(self) -> list[dict[str, Any]]:
        """One row a layer."""
        return [
            {
                "layer": name,
                "format": cost.choice.format,
                "bytes": cost.choice.bytes,
                "drop": cost.choice.drop,
                **({"ms": cost.choice.ms} if self.facts.device else {}),
                "error": cost.error,
            }
            for name, cost in self.planned.chosen.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        folds = [asdict(fold) for fold in self.folds]
        return {**asdict(self.facts), "layers": self.rows(), "folds": folds}


def run_plan(
    recipe: Recipe,
    formats: Sequence[str],
    budget: Budget,
    settings: Settings,
    path: str | None,
    device: Device | None = None,
) -> PlanReport:
    """Plan, write the file if it has a path, and show progress on stderr."""
    with Console(stderr=True).status("planning") as status:
        formats = formats or DEFAULT_FORMATS
        done = plan_recipe(recipe, formats, budget, settings, status.update, device)
    if path:
        predicted = {name: cost.choice for name, cost in done.planned.chosen.items()}
        done.planned.plan.write(path, done.facts, predicted)
    return done


def plan_recipe(
    recipe: Recipe,
    formats: Sequence[str],
    budget: Budget,
    settings: Settings,
    progress: Progress,
    device: Device | None = None,
) -> PlanReport:
    """Plan a recipe's model as folded, and run the plan to see whether the prediction holds."""
    progress("loading the model")
    module = recipe.model().eval()
    progress("folding")
    folds = fold_(module, recipe.example_inputs())
    calibration = calibrate(recipe, module, settings.data, settings.resume, progress)
    found = costs(
        module,
        [parse_format(form) for form in formats],
        calibration.hessians,
        rounding=settings.rounding,
        jobs=settings.jobs or jobs_that_pay(module),
        resume=settings.resume,
        progress=lambda name, i, n: progress(f"rounding {name} ({i + 1} of {n})"),
    )
    if device is None:
        planned = make_plan(module, found, budget)
    else:
        progress(f"timing on {device.name}")
        timed = time_costs(module, recipe, device, found, budget.max_bytes or budget.max_ram)
        planned = make_plan(module, timed.costs, budget, timed.rest)
    measured = _measured(module, planned, calibration, settings, recipe.loss, progress)
    facts = _facts(recipe, budget, planned, settings, measured)
    if device is not None:
        facts = replace(facts, device=device.name, ms=planned.allocation.ms)
    return PlanReport(planned, facts, folds)


def _measured(
    module: torch.nn.Module,
    planned: Planned,
    calibration: Calibration,
    settings: Settings,
    loss: str,
    progress: Progress,
) -> float:
    quantized = copy.deepcopy(module)
    quantize_(
        quantized,
        planned.plan,
        calibration.hessians,
        rounding=settings.rounding,
        jobs=settings.jobs or jobs_that_pay(module),
        resume=settings.resume,
        progress=lambda name, i, n: progress(f"running the plan: {name} ({i + 1} of {n})"),
    )
    progress("running the plan")
    return measured_drop(quantized, module, calibration.batches, loss)


def _facts(
    recipe: Recipe, budget: Budget, planned: Planned, settings: Settings, measured: float
) -> PlanFacts:
    return PlanFacts(
        smalti=version("smalti"),
        recipe=recipe.name,
        budget=str(budget),
        bytes=planned.bytes,
        drop=planned.allocation.drop,
        measured=measured,
        metric=METRIC[recipe.loss],
        gap=planned.gap,
        linear=planned.linear,
        rounding=settings.rounding,
    )
