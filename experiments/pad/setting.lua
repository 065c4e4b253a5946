-- setting.lua - what PAD's experiments share: pictures, networks, stages and training at the scale that the
-- environment's ASSAY_SCALE names, on the pictures that ASSAY_IMAGES names.
--
--   tiny    the default: pictures of 64 pixels, networks of width 48; minutes on two cores
--   paper   the published set-up: ViT-B, MSIP in ASSAY_MSIP (laid out by scripts/data/msip, regions by `assay rois`), ImageNet's
--           MAE with its decoder in ASSAY_MAE_B, downstream SODA or MFNet-T (ASSAY_SODA, ASSAY_MFNET). What is not given is
--           generated scenes and random weights, so that `assay plan` counts without any of it.
--
--   thermal (default) generated scenes; slices: the 181 slices that scripts/data/slices makes
--
-- What ImageNet is to infrared pictures is, at tiny scale, a stage on pictures of another kind: generated scenes by day
-- without noise, clutter or blur, or Fashion-MNIST (scripts/data/fashion) for the slices.
local scale, pictures = env("ASSAY_SCALE", "tiny"), env("ASSAY_IMAGES", "thermal")

-- `base` with some values changed. Modules lie beside their scripts, so each folder of experiments has this of its own.
local function with(base, changes)
  local all = {}
  for key, value in pairs(base) do all[key] = value end
  for key, value in pairs(changes or {}) do all[key] = value end
  return all
end

local scales = {
  tiny = {
    images  = 64,
    crop    = 64,
    vit     = { size = "custom", width = 48, layers = 4, heads = 3, patch = 8 },
    segment = { size = "custom", width = 48, layers = 4, heads = 3, patch = 8, channels = 32, auxiliary_channels = 32 },
    decoder = { width = 48, layers = 1, heads = 3 },
    rank    = 8,
    source  = { steps = 400, batch = 32, lr = 1e-3, warmup = 0.1 },
    scratch = { steps = 300, batch = 32, lr = 1e-3, warmup = 0.1 },
    goon    = { steps = 200, batch = 32, lr = 1e-3, warmup = 0.3 },
    tune    = { steps = 400, batch = 8, lr = 3e-3, warmup = 0.1 },
    thermal = { width = 96, height = 72, train_images = 300, valid_images = 40, test_images = 120 },
    resize  = { 0.8, 1.4 },
    seeds   = 6,
  },
  paper = {
    images  = 224,
    crop    = 512,
    vit     = { size = "base" },
    segment = { size = "base" },
    decoder = {},
    rank    = 64,
    source  = { steps = 0 },
    scratch = { steps = 17400, batch = 4096, accumulate = 32, lr = 1.6e-3, warmup = 0.1, precision = "bf16" },
    goon    = { steps = 4300, batch = 4096, accumulate = 32, lr = 1.6e-3, warmup = 0.3, precision = "bf16" },
    tune    = { steps = 14400, batch = 8, lr = 1e-4, warmup = 1500 / 14400 },
    thermal = { width = 640, height = 480, train_images = 1168, valid_images = 200, test_images = 1000 },
    resize  = { 0.5, 2 },
    seeds   = 1,
  },
}
local chosen = scales[scale] or error("ASSAY_SCALE is tiny or paper, not " .. scale)

local setting = { scale = scale, seeds = seeds(chosen.seeds), rank = chosen.rank }

-- An experiment's name: results of different scales and pictures don't mix.
function setting.name(name)
  return "pad_" .. name .. (pictures == "thermal" and "" or "_" .. pictures) .. (scale == "tiny" and "" or "_" .. scale)
end

-- ---- pictures ----

-- Infrared pictures without labels: MSIP where it is. Crops are around regions of selective search, as published; at tiny
-- scale, where finding them takes longer than learning from them, in crop.lua only.
function setting.infrared(changes)
  local msip = env("ASSAY_MSIP", "")
  local common = with({ side = chosen.images, crop = scale == "tiny" and "random" or "roi" }, changes)
  if msip ~= "" then return dataset.image_mix(with({ path = msip, parts = { "msip" } }, common)) end
  if pictures == "slices" then
    -- A slice is one object in black: its regions are no better than any box.
    return dataset.image_seg(with({ path = "../../data/slices", task = "pretraining" }, with(common, { crop = "random" })))
  end
  return dataset.thermal_synth(with(with(chosen.thermal, { task = "pretraining", images = 4000 }), common))
end

-- Pictures of another kind, in ImageNet's place.
local function elsewhere()
  if pictures == "slices" then
    return dataset.image_seg { path = "../../data/fashion", task = "pretraining", side = chosen.images }
  end
  return dataset.thermal_synth(with(chosen.thermal, {
    task = "pretraining", images = 4000, side = chosen.images, seed = 1001, hours = "day", air = { 15, 32 }, clutter = 0, netd = 0,
    nonuniformity = 0, blur = 0,
  }))
end

-- With a class for every pixel.
function setting.labelled()
  for _, set in ipairs { { "ASSAY_SODA", "soda" }, { "ASSAY_MFNET", "mfnet_t" } } do
    local path = env(set[1], "")
    if scale == "paper" and path ~= "" then
      return dataset.image_seg { path = path, preset = set[2], side = chosen.crop, resize = chosen.resize }
    end
  end
  if pictures == "slices" then
    return dataset.image_seg { path = "../../data/slices", side = chosen.crop, resize = chosen.resize }
  end
  return dataset.thermal_synth(with(chosen.thermal, { side = chosen.crop, resize = chosen.resize }))
end

-- ---- pre-training ----

local function network() return model.vit(with(chosen.vit, { image = chosen.images, mask_ratio = 0.75 })) end

function setting.masked(changes) return loss.masked_image(with(chosen.decoder, changes)) end

local function pretraining(base, changes)
  return with(with(base, { schedule = "cosine", beta2 = 0.95, weight_decay = 0.05, clip = 0 }), changes)
end

-- ImageNet's MAE: published weights, or what learned MAE's task on pictures of another kind.
function setting.imagenet()
  local published = env("ASSAY_MAE_B", "")
  return run {
    name = "imagenet", dataset = elsewhere(), model = network(), init = published ~= "" and published or none,
    loss = setting.masked { decoder = published ~= "" and published or none }, train = pretraining(chosen.source),
  }
end

-- Paradigm (a): infrared pictures only.
function setting.from_scratch()
  return run {
    name = "scratch", dataset = setting.infrared(), model = network(), loss = setting.masked(), train = pretraining(chosen.scratch),
  }
end

-- Paradigm (c): ImageNet's MAE goes on, whole, on infrared pictures.
function setting.continual(name, imagenet, changes)
  return run {
    name = name, dataset = setting.infrared(), model = network(), init = imagenet,
    loss = setting.masked { decoder = imagenet }, train = pretraining(chosen.goon, changes),
  }
end

-- Paradigm (d), PAD: ImageNet's MAE is frozen; adapters and the decoder learn (spec 3.4).
function setting.pad(imagenet, adapting, changes)
  return run(with({
    name = "pad", dataset = setting.infrared(), model = network(), init = imagenet,
    adapter = adapter.patch_scale(with({ rank = chosen.rank }, adapting)),
    loss = setting.masked { decoder = imagenet, freeze_embed = true }, train = pretraining(chosen.goon),
  }, changes))
end

-- ---- segmentation (spec 3.8): everything is trained, adapters included ----

function setting.segmenter()
  return model.segmenter(with(chosen.segment, { image = chosen.crop, neck = "fpn", relative_bias = true }))
end

function setting.adapting(adapting)
  return adapter.patch_scale(with({ rank = chosen.rank, freeze = false, freeze_fraction = 0 }, adapting))
end

function setting.tuning()
  return with(chosen.tune, { schedule = "poly", weight_decay = 0.05, layer_decay = 0.65, clip = 0 })
end

-- An ablation of PAD: `adapting` and `changes` hold the axis.
function setting.ablation(name, adapting, changes)
  return experiment {
    name = setting.name(name), dataset = setting.labelled(), model = setting.segmenter(),
    init = setting.pad(setting.imagenet(), adapting, changes), adapter = setting.adapting(adapting), loss = loss.segmentation {},
    train = setting.tuning(), evaluate = { evaluator.segmentation {} }, seed = setting.seeds,
  }
end

return setting
