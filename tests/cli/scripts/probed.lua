-- Linear probes on every layer of two models that show their layers: which layer names pixels best?
local scenes = dataset.thermal_synth {
  train_images = 16, valid_images = 4, test_images = 4, width = 48, height = 40, side = 32,
}
local size = { size = "custom", width = 16, layers = 3, heads = 2, image = 32, patch = 8 }

return experiment {
  name     = "probed",
  dataset  = scenes,
  model    = any { model.vit(size), model.segmenter(size) },
  train    = { steps = 0 },
  evaluate = { evaluator.layer_probe { steps = 20, batch = 4, lr = 1e-2, layers = { 1, 3 } } },
  seed     = 0,
}
