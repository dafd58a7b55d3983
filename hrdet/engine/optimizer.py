"""The optimizer and its step: parameter groups, mixed precision, accumulation, clipping."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mmengine.optim
import torch
from torch import Tensor, nn

from hrdet.registry import ConfigError, nearest

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
_PARAMWISE = ('bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'custom_keys')


def build_optimizer(model: nn.Module, options: dict[str, Any]) -> torch.optim.Optimizer:
    """A torch optimizer over the trainable parameters.

    ``options`` holds ``type`` (a class of torch.optim), its arguments, and ``paramwise_cfg`` with
    multipliers for biases (of convolutions and linear layers), norm layers, and parameters whose
    name contains a key of ``custom_keys`` (dict(lr_mult, decay_mult); the longest key wins).
    Parameters with equal multipliers share a group: a step on a few large groups is a few kernel
    launches.

    Raises:
        ConfigError: unknown type, argument or multiplier.
    """
    options = dict(options)
    kind = options.pop('type')
    multipliers = options.pop('paramwise_cfg', None) or {}
    cls = getattr(torch.optim, kind, None)
    if not (inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer)):
        known = [n for n, c in vars(torch.optim).items() if inspect.isclass(c)]
        raise ConfigError(f'optimizer.type: torch.optim has no {kind!r}{nearest(kind, known)}')
    accepted = inspect.signature(cls).parameters
    for name in options:
        if name not in accepted:
            raise ConfigError(
                f'optimizer.{name}: {kind} takes no such argument{nearest(name, accepted)}'
            )
    groups = _parameter_groups(model, options, multipliers)
    if 'fused' in accepted and not {'fused', 'foreach'} & set(options):
        options['fused'] = not options.get('dampening')
    optimizer = cls(groups, **options)
    if kind == 'SGD' and options.get('fused') and options.get('momentum'):
        _start_momentum(optimizer)
    return optimizer


def _start_momentum(optimizer: torch.optim.SGD) -> None:
    """Zero momentum, which a first step turns into the gradient as always.

    torch's fused SGD allocates it uninitialised and leaves it so when fp16's first gradients are
    infinite, as they usually are.
    """
    for group in optimizer.param_groups:
        for parameter in group['params']:
            optimizer.state[parameter]['momentum_buffer'] = torch.zeros_like(parameter)


def _parameter_groups(
    model: nn.Module, options: dict[str, Any], multipliers: dict[str, Any]
) -> list[dict[str, Any]]:
    for name in multipliers:
        if name not in _PARAMWISE:
            raise ConfigError(
                f'optimizer.paramwise_cfg.{name}: unknown{nearest(name, _PARAMWISE)}. '
                f'It accepts: {", ".join(_PARAMWISE)}'
            )
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix=module_name, recurse=False):
            if parameter.requires_grad:
                factors = _factors(name, module, multipliers)
                groups.setdefault(factors, []).append(parameter)
    result = []
    for (lr, decay), parameters in groups.items():
        group: dict[str, Any] = {'params': parameters}
        if lr != 1.0:
            group['lr'] = options['lr'] * lr
        if decay != 1.0:
            group['weight_decay'] = options.get('weight_decay', 0.0) * decay
        result.append(group)
    return result


def _factors(name: str, module: nn.Module, multipliers: dict[str, Any]) -> tuple[float, float]:
    """Multipliers ``(learning rate, weight decay)`` of one parameter."""
    custom = multipliers.get('custom_keys', {})
    for key in sorted(custom, key=lambda k: (-len(k), k)):
        if key in name:
            return custom[key].get('lr_mult', 1.0), custom[key].get('decay_mult', 1.0)
    if isinstance(module, _NORMS):
        return 1.0, multipliers.get('norm_decay_mult', 1.0)
    if name.endswith('.bias') or name == 'bias':
        return multipliers.get('bias_lr_mult', 1.0), multipliers.get('bias_decay_mult', 1.0)
    return 1.0, 1.0


class OptimWrapper(mmengine.optim.OptimWrapper):
    """mmengine's optimizer interface without its reads from the device.

    The gradients of ``accumulate`` batches are averaged into one step.  Such a group never crosses
    the end of an epoch, where the last step averages what is left: there is nothing half done in
    the checkpoint of an epoch.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        accumulate: int = 1,
        clip_grad: dict[str, Any] | None = None,
        amp: str | None = None,
    ) -> None:
        super().__init__(optimizer, accumulate, dict(clip_grad) if clip_grad else None)
        self._device_type = device.type
        self._dtype = getattr(torch, amp) if amp else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp == 'float16')

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Tell where in the epoch the training stands, and how many iterations it has."""
        self._inner_count, self._max_counts = init_counts, max_counts
        self._remainder_counts = max_counts % self._accumulative_counts

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Forward under autocast; DDP exchanges gradients only where a step follows."""
        amp = torch.autocast(self._device_type, self._dtype, enabled=self._dtype is not None)
        with super().optim_context(model), amp:
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        self.scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        """Clip and step; with fp16 a step with infinite gradients changes nothing."""
        if self.clip_grad_kwargs:
            self.scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()

    def _clip_grad(self) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group['params']]
        self.clip_func(parameters, **self.clip_grad_kwargs)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {'loss_scaler': self.scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        scaler = state.pop('loss_scaler')
        if scaler:  # empty where the run that wrote it used no fp16
            self.scaler.load_state_dict(scaler)
        super().load_state_dict(state)
