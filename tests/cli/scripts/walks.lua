-- Does an opening future help on walks?  2 masks x 2 seeds, probed on the direction.
return experiment {
  name     = "walks",
  dataset  = dataset.toy { size = 64 },
  model    = model.toy_encoder {},
  mask     = any { mask.toy_ramp {}, mask.toy_ramp { to = 0.5 } },
  loss     = loss.toy_contrast {},
  train    = { steps = 12, batch = 8, checkpoint_every = 4 },
  evaluate = { evaluator.toy_probe { metrics = { "auc", "ks" } } },
  seed     = seeds(2),
}
