-- PAD in small: an MAE of pictures of another kind is frozen, adapters with a scale for every patch learn on infrared
-- ones, and a segmenter with those adapters is tuned (experiments/pad).
local function scenes(hours)
  return dataset.thermal_synth { task = "pretraining", images = 16, width = 48, height = 48, side = 32, hours = hours }
end
local vit = model.vit { size = "custom", width = 12, layers = 3, heads = 3, patch = 8, image = 32, mask_ratio = 0.75 }
local learning = { steps = 2, batch = 4, lr = 1e-3, schedule = "cosine", warmup = 0.3, beta2 = 0.95, weight_decay = 0.05, clip = 0 }

local imagenet = run {
  name = "imagenet", dataset = scenes("day"), model = vit, loss = loss.masked_image { width = 12, layers = 1, heads = 3 },
  train = learning,
}
local pad = run {
  name = "pad", dataset = scenes("any"), model = vit, init = imagenet, adapter = adapter.patch_scale { rank = 4 },
  loss = loss.masked_image { width = 12, layers = 1, heads = 3, decoder = imagenet, freeze_embed = true }, train = learning,
}

return experiment {
  name = "pad",
  dataset = dataset.thermal_synth { train_images = 8, valid_images = 2, test_images = 4, width = 48, height = 48, side = 32,
                                    resize = { 0.8, 1.4 } },
  model = model.segmenter { size = "custom", width = 12, layers = 3, heads = 3, patch = 8, image = 32, neck = "fpn",
                            relative_bias = true, channels = 8, auxiliary_channels = 8 },
  init = pad, adapter = adapter.patch_scale { rank = 4, freeze = false, freeze_fraction = 0 }, loss = loss.segmentation {},
  train = { steps = 2, batch = 2, lr = 3e-3, schedule = "poly", weight_decay = 0.05, layer_decay = 0.65, clip = 0 },
  evaluate = { evaluator.segmentation {} }, seed = 1,
}
