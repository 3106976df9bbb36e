"""The functional forms, one file each; ``fairseq_scaling.laws.registry`` lists them."""
