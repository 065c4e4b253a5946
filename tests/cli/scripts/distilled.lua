-- UNIP's chain in small: a teacher learns from scenes, a scan of its attention chooses a layer by NMI, a
-- student with the teacher's number of heads in its last block learns that layer's attention.
local scenes = dataset.thermal_synth { task = "pretraining", images = 64, width = 48, height = 48, side = 32 }

local function vit(o)
  o.size, o.image, o.patch = "custom", 32, 8
  return model.vit(o)
end
local large = { width = 32, layers = 4, heads = 4, mask_ratio = 0.5 }

local teacher = run {
  name    = "teacher",
  dataset = scenes,
  model   = vit(large),
  loss    = loss.masked_image { width = 16, layers = 1, heads = 2 },
  train   = { steps = 4, batch = 8 },
  seed    = 0,
}
local scan = run {
  name     = "scan",
  dataset  = scenes,
  model    = vit(large),
  init     = teacher,
  loss     = loss.masked_image { width = 16, layers = 1, heads = 2 },
  train    = { steps = 0 },
  evaluate = { evaluator.attention_pattern { images = 16, maps = 1 } },
  seed     = 0,
}
return experiment {
  name    = "distilled",
  dataset = scenes,
  model   = vit { width = 16, layers = 3, heads = 2, last_heads = 4, drop_path = 0.1 },
  loss    = any {
    loss.attention_distill { teacher = scan, teacher_layer = scan:score("attention_pattern/layer") },
    loss.feature_distill { teacher = scan, teacher_layer = scan:score("attention_pattern/layer") },
  },
  train   = { steps = 6, batch = 8, checkpoint_every = 3 },
  seed    = seeds(2),
}
