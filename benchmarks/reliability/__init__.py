"""Campaigns against hrdet: broken files, wrong configs, damaged checkpoints, killed runs."""
