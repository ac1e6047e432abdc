"""The commands of `hwmodel`, one file per subject: names, types and help. What they do is in `reports.jobs`."""
