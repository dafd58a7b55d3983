"""The engine: mmengine's Runner around a training step that hrdet spells out itself."""
