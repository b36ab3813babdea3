"""Motion capture from files: readers of BVH and of DeepMimic's form, and a motion that plays their clips."""
