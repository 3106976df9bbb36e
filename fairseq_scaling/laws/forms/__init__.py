"""The functional forms, one file each; ``fairseq_scaling.laws.forms.registry`` lists them."""
