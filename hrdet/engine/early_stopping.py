"""Early stopping: end a run whose metric no longer improves."""

import math
from typing import Any

from hrdet.registry import ConfigError, nearest


class EarlyStopping:
    """Counts evaluations without improvement of a metric, of which more is better.

    Args:
        patience: evaluations in a row without improvement that end the run.
        metric: its name; None takes the evaluator's first.
        min_delta: the least improvement.
    """

    def __init__(self, patience: int, metric: str | None = None, min_delta: float = 0.0) -> None:
        self.patience, self.metric, self.min_delta = patience, metric, min_delta
        self.state: dict[str, Any] = dict(best=-math.inf, best_iter=0, waited=0)

    def update(self, metrics: dict[str, float], iteration: int) -> str:
        """Process the metrics of an evaluation; returns the reason to stop, or an empty string."""
        name, state = self.metric or next(iter(metrics)), self.state
        if name not in metrics:
            raise ConfigError(
                f'early_stopping.metric: the evaluation has no {name!r}{nearest(name, metrics)}. '
                f'It has: {", ".join(metrics)}'
            )
        if metrics[name] > state['best'] + self.min_delta:
            state.update(best=metrics[name], best_iter=iteration, waited=0)
            return ''
        state['waited'] += 1
        if state['waited'] < self.patience:
            return ''
        return (
            f'early stopping: {name} has not improved by more than {self.min_delta:g} in '
            f'{state["waited"]} evaluations (best {state["best"]:.4f} after iteration '
            f'{state["best_iter"]})'
        )
