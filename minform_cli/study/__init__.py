"""Many runs over variants and seeds: the plan, its execution, the statistics."""
