-- UNIP's chain in small: a teacher learns, its attention is scanned for a layer, a student learns that layer and is tuned
-- for segmentation (experiments/unip).
local scenes = dataset.thermal_synth { task = "pretraining", images = 16, width = 48, height = 48, side = 32 }
local large  = model.vit { size = "custom", width = 16, layers = 3, heads = 4, patch = 8, image = 32, mask_ratio = 0.75 }
local masked = loss.masked_image { width = 16, layers = 1, heads = 2 }
local learning = { steps = 2, batch = 4, lr = 1e-3, schedule = "cosine", warmup = 0.05, beta2 = 0.95, weight_decay = 0.05, clip = 0 }

local teacher = run { name = "teacher", dataset = scenes, model = large, loss = masked, train = learning, seed = 0 }
local scan = run {
  name = "scan", dataset = scenes, model = large, init = teacher, loss = masked, train = { steps = 0 },
  evaluate = { evaluator.attention_pattern { images = 4, batch = 4, maps = 1 } }, seed = 0,
}
local student = run {
  name = "unip", dataset = scenes, train = learning,
  model = model.vit { size = "custom", width = 12, layers = 3, heads = 3, patch = 8, image = 32, drop_path = 0.1, last_heads = 4 },
  loss = loss.attention_distill { teacher = scan, teacher_layer = scan:score("attention_pattern/layer") },
}

return experiment {
  name = "unip",
  dataset = dataset.thermal_synth { train_images = 8, valid_images = 2, test_images = 4, width = 48, height = 48, side = 32,
                                    resize = { 0.8, 1.4 } },
  model = model.segmenter { size = "custom", width = 12, layers = 3, heads = 3, patch = 8, image = 32, neck = "ll_fpn",
                            channels = 8, auxiliary_channels = 8 },
  init = student, loss = loss.segmentation {},
  train = { steps = 2, batch = 2, lr = 3e-3, schedule = "poly", weight_decay = 0.05, layer_decay = 0.85, clip = 0 },
  evaluate = { evaluator.segmentation {} }, seed = 1,
}
