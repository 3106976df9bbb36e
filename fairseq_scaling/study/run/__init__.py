"""Running the jobs: Snakemake, their state, GPUs, clusters."""
