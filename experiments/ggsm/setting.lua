-- setting.lua - what GG-SM's experiments share: users, model, loss and training at the scale that the environment's
-- ASSAY_SCALE names.
--
--   tiny    the default: 2,000 synthetic users, a decoder of width 64; minutes on two cores
--   small   100,000 users, width 128, a one-layer BERT as event encoder; hours
--   paper   the published set-up: Qwen2.5-0.5B with LoRA r = 64, alpha = 64, 710 event slots, 70,000 steps of 2,048
--           pairs, 2,000 of them warm-up. ASSAY_QWEN and ASSAY_GTE name the folders of published weights and
--           tokenizers; without them the shapes are the published ones and the weights random.
--
-- The users are synthetic at every scale: Alipay's are not public.
local scale = env("ASSAY_SCALE", "tiny")

-- `base` with some values changed. Modules lie beside their scripts, so each folder of experiments has this of its own.
local function with(base, changes)
  local all = {}
  for key, value in pairs(base) do all[key] = value end
  for key, value in pairs(changes or {}) do all[key] = value end
  return all
end

local scales = {
  tiny = {
    data  = { users = 2000, probe_users = 800, valid_users = 250, test_users = 800, slots = "tiny" },
    model = { size = "tiny", encoder = "bag" },
    train = { steps = 200, batch = 32, lr = 1e-3 },
    seeds = 6, warmup = 0.1,
  },
  small = {
    data  = { users = 100000, probe_users = 20000, valid_users = 5000, test_users = 20000, slots = "small" },
    model = { size = "small", encoder = "bert" },
    train = { steps = 4000, batch = 256, pieces = 4, lr = 1e-3 },
    seeds = 6, warmup = 0.1,
  },
  paper = {
    data  = { users = 71680000, probe_users = 400000, valid_users = 50000, test_users = 500000, slots = "paper" },
    model = {
      size = "qwen2.5-0.5b", encoder = "bert", features = "copied", feature_tokens = 50, age = false, rank = false,
      answer_words = 200, tokens = 1050, dropout = 0.1,
    },
    train = { steps = 70000, batch = 2048, pieces = 512, lr = 2e-4, precision = "bf16" },
    seeds = 3, warmup = 2000 / 70000,
    adapters = {
      adapter.lora { rank = 64, alpha = 64, dropout = 0.05 },
      adapter.lora { rank = 64, alpha = 64, dropout = 0.05, targets = { "query", "key", "value", "output.dense" } },
    },
  },
}

local chosen = scales[scale] or error("ASSAY_SCALE is tiny, small or paper, not " .. scale)

if scale == "paper" then
  local qwen, gte = env("ASSAY_QWEN", ""), env("ASSAY_GTE", "")
  if qwen ~= "" then
    chosen.model.decoder, chosen.model.tokenizer = qwen, qwen .. "/tokenizer.json"
  end
  if gte ~= "" then
    chosen.model.encoder_weights, chosen.model.encoder_tokenizer = gte, gte .. "/tokenizer.json"
  end
end

local setting = { scale = scale, seeds = seeds(chosen.seeds), adapters = chosen.adapters, warmup = chosen.warmup }

-- An experiment's name at this scale: results of different scales don't mix.
function setting.name(name)
  return "ggsm_" .. name .. (scale == "tiny" and "" or "_" .. scale)
end

-- Behaviour of the next month, any of it, and answered questions (spec 3.2; the option `hard` chooses hard pairs).
function setting.users(changes)
  return dataset.user_synth(with(with(chosen.data, { pairs = { "future", "uqa" }, future_choice = "random" }), changes))
end

-- Tags around each source, then Instruction: and <USER> (spec 3.3); no summary tokens in this paper.
function setting.model(changes)
  return model.user_decoder(with(with(chosen.model, { layout = "tagged", readout = "user_token" }), changes))
end

-- The contrast alone (spec 3.1); the paper's in-batch terms.
function setting.loss()
  return loss.contrastive { variant = "gg_paper", temperature = 0.07, margin = 0.1 }
end

function setting.train(changes)
  return with(with(chosen.train, { schedule = "cosine", warmup = 0.1, beta2 = 0.999, clip = 1.0 }), changes)
end

function setting.probe(changes)
  return evaluator.linear_probe(with({ suite = "cognition9", metrics = { "auc" } }, changes))
end

return setting
