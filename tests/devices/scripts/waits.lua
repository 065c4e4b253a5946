-- One case (CASE) of a few steps (STEPS), for counting how often a step waits.
local users = dataset.user_synth { users = 32, probe_users = 0, valid_users = 0, test_users = 0, features = 4, slots = "tiny",
                                   sources = { "bill", "app" }, pairs = { "uqa" } }
local decoder = model.user_decoder { width = 16, layers = 1, heads = 2, kv_heads = 1, mlp = 24, embedding = 8, words = 64,
                                     event_words = 4 }
local learning = { steps = tonumber(env("STEPS", "2")), batch = 6, checkpoint_every = 0, lr = 1e-3 }
local function train(more)
  local all = {}
  for name, value in pairs(learning) do all[name] = value end
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end
local function decoding(more)
  more.dataset, more.model = users, decoder
  more.mask = more.mask or mask.causal {}
  more.loss = more.loss or { loss.contrastive {}, loss.next_token {} }
  more.train = train(more.train)
  return more
end
local scenes = dataset.thermal_synth { train_images = 16, valid_images = 0, test_images = 0, width = 48, height = 48, side = 32,
                                       resize = { 0.8, 1.4 } }

local cases = {
  causal = function() return decoding {} end,
  ggsm = function() return decoding { mask = mask.ggsm { warmup = 0.5, rounding = "bf16", clock = "micro" } } end,
  ggsm_plus = function() return decoding { mask = mask.ggsm_plus { warmup = 0.5 } } end,
  hybrid_mask = function() return decoding { mask = mask.hybrid_mask {} } end,
  hybrid_mlp = function() return decoding { mask = mask.hybrid_mlp { width = 8 } } end,
  hybrid_query = function() return decoding { mask = mask.hybrid_query {} } end,
  widening = function() return decoding { mask = mask.widening {} } end,
  future_alignment = function() return decoding { loss = loss.future_alignment {} } end,
  masked_image = function()
    return {
      dataset = dataset.thermal_synth { task = "pretraining", images = 16, width = 48, height = 48, side = 32 },
      model = model.vit { size = "custom", width = 16, layers = 1, heads = 2, patch = 8, image = 32, mask_ratio = 0.75 },
      loss = loss.masked_image { width = 16, layers = 1, heads = 2 }, train = train {},
    }
  end,
  saving = function() return decoding { train = { checkpoint_every = 1 } } end,
  accumulate = function() return decoding { train = { accumulate = 2 } } end,
  pieces = function() return decoding { train = { pieces = 3 } } end,
  segmentation = function()
    return {
      dataset = scenes, loss = loss.segmentation {}, train = train { batch = 2, clip = 0 },
      model = model.segmenter { size = "custom", width = 12, layers = 3, heads = 3, patch = 8, image = 32, neck = "fpn",
                                channels = 8, auxiliary_channels = 8 },
    }
  end,
}
local chosen = cases[env("CASE", "causal")]()
chosen.name, chosen.evaluate, chosen.seed = "waits", none, 1
return experiment(chosen)
