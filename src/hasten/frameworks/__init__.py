"""One network in one framework, one file each: what ``hasten compare frameworks`` times."""
