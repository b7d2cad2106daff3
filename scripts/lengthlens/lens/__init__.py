"""Attribution during generation without the workflow: `lengthlens.Lens` and `lengthlens.show`."""
