-- setting.lua - what UNIP's experiments share: pictures, networks, stages and training at the scale that the
-- environment's ASSAY_SCALE names, on the pictures that ASSAY_IMAGES names.
--
--   tiny    the default: pictures of 64 pixels, a teacher of width 96, students of width 48; minutes on two cores
--   paper   the published set-up: 224 and 512 pixels, UNIP-S from MAE-L, InfMix in ASSAY_INFMIX, weights in ASSAY_MAE_L,
--           downstream SODA, MFNet-T or SCUT-Seg (ASSAY_SODA, ASSAY_MFNET, ASSAY_SCUT). What is not given is generated
--           scenes and random weights, so that `assay plan` counts without any of it.
--
--   thermal (default) generated scenes; slices: the 181 slices that scripts/data/slices makes, Fashion-MNIST
--   (scripts/data/fashion) as the pictures of another kind
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
    images   = 64,
    crop     = 64,
    teacher  = { size = "custom", width = 96, layers = 6, heads = 6, patch = 8 },
    student  = { size = "custom", width = 48, layers = 4, heads = 3, patch = 8 },
    segment  = { size = "custom", width = 48, layers = 4, heads = 3, patch = 8, channels = 32, auxiliary_channels = 32 },
    decoder  = { width = 48, layers = 1, heads = 3 },
    teach    = { steps = 600, batch = 32, lr = 1e-3, warmup = 0.1 },
    pretrain = { steps = 400, batch = 32, lr = 1e-3, warmup = 0.05 },
    tune     = { steps = 400, batch = 8, lr = 3e-3, warmup = 0.1 },
    scan     = { images = 64, batch = 8, maps = 3 },
    probe    = { steps = 200, batch = 8, lr = 3e-3 },
    thermal  = { width = 96, height = 72, train_images = 300, valid_images = 40, test_images = 120 },
    resize   = { 0.8, 1.4 },
    seeds    = 6,
  },
  paper = {
    images   = 224,
    crop     = 512,
    teacher  = { size = "large" },
    student  = { size = "small" },
    segment  = { size = "small" },
    decoder  = {},
    teach    = { steps = 0 },
    pretrain = { steps = 20900, batch = 4096, accumulate = 16, lr = 2.4e-3, warmup = 0.05, precision = "bf16" },
    tune     = { steps = 14400, batch = 8, lr = 1e-4, warmup = 1500 / 14400 },
    scan     = { images = 1000, batch = 4, maps = 3 },
    probe    = { steps = 14400, batch = 8, lr = 1e-4 },
    thermal  = { width = 640, height = 480, train_images = 1168, valid_images = 200, test_images = 1000 },
    resize   = { 0.5, 2 },
    seeds    = 1,
  },
}
local chosen = scales[scale] or error("ASSAY_SCALE is tiny or paper, not " .. scale)

local setting = { scale = scale, seeds = seeds(chosen.seeds), 
                  scanned = chosen.scan, probed = chosen.probe }

-- An experiment's name: results of different scales and pictures don't mix.
function setting.name(name)
  return "unip_" .. name .. (pictures == "thermal" and "" or "_" .. pictures) .. (scale == "tiny" and "" or "_" .. scale)
end

-- ---- pictures ----

-- Without labels, for pre-training: InfMix where it is, or the pictures of ASSAY_IMAGES.
function setting.unlabelled(changes)
  local mix = env("ASSAY_INFMIX", "")
  if mix ~= "" then return dataset.image_mix(with({ path = mix, side = chosen.images }, changes)) end
  if pictures == "slices" then
    return dataset.image_seg(with({ path = "../../data/slices", task = "pretraining", side = chosen.images }, changes))
  end
  return dataset.thermal_synth(with(with(chosen.thermal, { task = "pretraining", images = 4000, side = chosen.images }), changes))
end

-- With a class for every pixel.
function setting.labelled(changes)
  local sets = { { "ASSAY_SODA", "soda" }, { "ASSAY_MFNET", "mfnet_t" }, { "ASSAY_SCUT", "scut_seg" } }
  for _, set in ipairs(sets) do
    local path = env(set[1], "")
    if scale == "paper" and path ~= "" then
      return dataset.image_seg(with({ path = path, preset = set[2], side = chosen.crop, resize = chosen.resize }, changes))
    end
  end
  if pictures == "slices" then
    return dataset.image_seg(with({ path = "../../data/slices", side = chosen.crop, resize = chosen.resize }, changes))
  end
  return dataset.thermal_synth(with(with(chosen.thermal, { side = chosen.crop, resize = chosen.resize }), changes))
end

-- ---- pre-training ----

-- The teacher: published weights (MAE-L at paper scale), or at tiny scale one that learned MAE's task here.
function setting.teacher_model()
  return model.vit(with(chosen.teacher, { image = chosen.images, mask_ratio = 0.75 }))
end

function setting.masked() return loss.masked_image(chosen.decoder) end

function setting.pretraining(changes)
  return with(with(chosen.pretrain, { schedule = "cosine", beta2 = 0.95, weight_decay = 0.05, clip = 0 }), changes)
end

function setting.teacher()
  local published = env("ASSAY_MAE_L", "")
  return run {
    name = "teacher", dataset = setting.unlabelled(), model = setting.teacher_model(), loss = setting.masked(),
    init = published ~= "" and published or none, train = setting.pretraining(chosen.teach), seed = 0,
  }
end

-- What chooses the layer: NMI of every layer's attention, nearest to 0.09 (spec 2.6.3).
function setting.scan(teacher)
  return run {
    name = "scan", dataset = setting.unlabelled(), model = setting.teacher_model(), init = teacher, loss = setting.masked(),
    train = { steps = 0 }, evaluate = { evaluator.attention_pattern(chosen.scan) }, seed = 0,
  }
end

-- A student that learns the teacher's attention by its last block, which has the teacher's heads.
function setting.student(name, teaching, changes)
  return run(with({
    name = name, dataset = setting.unlabelled(), loss = teaching, train = setting.pretraining(),
    model = model.vit(with(chosen.student, { image = chosen.images, drop_path = 0.1, last_heads = chosen.teacher.heads or 16 })),
  }, changes))
end

-- The plain student: MAE at the student's own size.
function setting.plain(name, changes)
  return run(with({
    name = name, dataset = setting.unlabelled(), loss = setting.masked(), train = setting.pretraining(),
    model = model.vit(with(chosen.student, { image = chosen.images, mask_ratio = 0.75 })),
  }, changes))
end

-- ---- segmentation ----

-- Fine-tuning (spec 2.9): LL-FPN unless said otherwise.
function setting.segmenter(changes)
  return model.segmenter(with(with(chosen.segment, { image = chosen.crop, neck = "ll_fpn" }), changes))
end

-- Both protocols: fine-tuning, and linear probing (spec 2.10: the network frozen, one linear layer on four blocks).
function setting.protocols()
  return zip {
    head = { "upernet", "linear" }, neck = { "ll_fpn", "none" }, freeze = { false, true }, dropout = { 0.1, 0 },
    layer_decay = { 0.85, 1 },
    benchmark_neck = { "fpn", "none" }, -- what other methods are compared with has a pyramid of four blocks
  }
end

function setting.by_protocol(protocol, changes)
  return setting.segmenter(with({
    head = protocol.head, neck = protocol.neck, freeze = protocol.freeze, dropout = protocol.dropout,
  }, changes))
end

function setting.tuning(changes)
  return with(with(chosen.tune, { schedule = "poly", weight_decay = 0.05, layer_decay = 0.85, clip = 0 }), changes)
end

function setting.segmentation(pictures_shown)
  return { evaluator.segmentation { pictures = pictures_shown or 0 } }
end

return setting
