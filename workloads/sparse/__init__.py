"""Sparse training: penalties, proximal steps, regularisers, schedules and pruners."""
