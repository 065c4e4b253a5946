-- A decoder with low-rank branches, for `assay export`.
return experiment {
  name     = "adapted",
  dataset  = dataset.toy { size = 64 },
  model    = model.toy_encoder {},
  adapter  = { adapter.lora { rank = 4, alpha = 6, targets = { "q_proj", "down_proj" } } },
  loss     = loss.toy_contrast {},
  train    = { steps = 6, batch = 8, checkpoint_every = 3, lr = 1e-2 },
  evaluate = { evaluator.toy_probe { metrics = { "auc", "ks" } } },
  seed     = seeds(2),
}
