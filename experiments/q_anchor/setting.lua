-- setting.lua - what Q-Anchor's experiments share: users, model, losses and training at the scale that the
-- environment's ASSAY_SCALE names.
--
--   tiny    the default: 2,000 synthetic users, a decoder of width 64; minutes on two cores
--   small   100,000 users, width 128, a one-layer BERT as event encoder; hours
--   paper   the published set-up: Qwen2.5-0.5B and five BERT-base encoders with LoRA, 710 event slots, 50,000
--           steps of 2,048 pairs. ASSAY_QWEN and ASSAY_GTE name the folders of the published weights and
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
    model = { size = "tiny", encoder = "bag", user_summary = true, source_summary = true },
    train = { steps = 200, batch = 32, lr = 1e-3 },
    seeds = 6,
  },
  small = {
    data  = { users = 100000, probe_users = 20000, valid_users = 5000, test_users = 20000, slots = "small" },
    model = { size = "small", encoder = "bert", user_summary = true, source_summary = true },
    train = { steps = 4000, batch = 256, pieces = 4, lr = 1e-3 },
    seeds = 6,
  },
  paper = {
    data  = { users = 51200000, probe_users = 400000, valid_users = 50000, test_users = 500000, slots = "paper" },
    model = {
      size = "qwen2.5-0.5b", encoder = "bert", layout = "chat", slots = "fixed", head = "relu",
      user_summary = true, source_summary = true, features = "copied", feature_tokens = 50,
      age = false, rank = false, answer_words = 200, tokens = 1050, dropout = 0.1,
    },
    train = { steps = 50000, batch = 2048, pieces = 512, lr = 2e-4, precision = "bf16" },
    seeds = 1,
    adapters = {
      adapter.lora { rank = 64, alpha = 32, dropout = 0.1 },
      adapter.lora { rank = 64, alpha = 32, dropout = 0.1, targets = { "query", "key", "value", "output.dense" } },
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

local setting = { scale = scale, seeds = seeds(chosen.seeds), adapters = chosen.adapters, steps = chosen.train.steps }

-- An experiment's name at this scale: results of different scales don't mix.
function setting.name(name)
  return "q_anchor_" .. name .. (scale == "tiny" and "" or "_" .. scale)
end

-- Both halves of UserU, one to one: what the user did next, and answered questions.
function setting.users(changes)
  return dataset.user_synth(with(with(chosen.data, { pairs = { "future", "uqa" } }), changes))
end

function setting.model(changes)
  return model.user_decoder(with(chosen.model, changes))
end

-- L = L_cl + L_ntp, both with weight 1 (spec 2.5); temperature and margin are the published code's.
function setting.contrastive(changes)
  return loss.contrastive(with({ variant = "qa_code", temperature = 0.07, margin = 0.1 }, changes))
end

function setting.next_token()
  return loss.next_token { reduction = "mean" }
end

function setting.losses()
  return { setting.contrastive(), setting.next_token() }
end

-- The optimizer of the published code; the paper gives AdamW, the learning rate and its cosine.
function setting.train(changes)
  return with(with(chosen.train, {
    schedule = "cosine", warmup = 0.04, beta1 = 0.9, beta2 = 0.98, eps = 1e-6, weight_decay = 1e-5, clip = 1.0,
  }), changes)
end

function setting.probe(changes)
  return evaluator.linear_probe(with({ suite = "alipay10" }, changes))
end

-- ---- cluster-based soft prompt tuning (spec 2.6): six tokens, one prototype per class, all else frozen ----
-- The paper gives 6 tokens and 500 steps; learning rate, batch, balance and warm-up are the spec's proposals.
setting.scenarios = { "active", "concert", "login", "forest", "fraud", "money", "takeout", "brand", "promo", "value" }

setting.few_scenarios = { "takeout", "forest" } -- for what is swept at tiny scale; all ten at paper scale
if scale == "paper" then setting.few_scenarios = setting.scenarios end
setting.prompt_steps = scale == "tiny" and 100 or 500

-- A run for each scenario: tuned on its labels, probed on its benchmark.
function setting.each(scenarios)
  local benchmarks = {}
  for i, scenario in ipairs(scenarios) do benchmarks[i] = { scenario } end
  return zip { task = scenarios, benchmarks = benchmarks }
end

function setting.tuning(changes)
  return with({ batch = scale == "tiny" and 64 or 256, lr = 1e-3, schedule = "constant", warmup = 0.04, weight_decay = 0,
                balance = true }, changes)
end

function setting.prompt(changes)
  return adapter.soft_prompt(with({ tokens = 6 }, changes))
end

-- Every scenario asks yes or no. Left out, the classes are counted in the labels of a million users, even by `plan`.
function setting.prototype()
  return loss.prototype { temperature = 0.07, classes = 2 }
end

-- Pre-training as a stage, for what builds on a trained model: prompts, the cache, questions.
function setting.pretrained()
  return run {
    name = "pretrain", dataset = setting.users(), model = setting.model(), adapter = setting.adapters, mask = mask.causal {},
    loss = setting.losses(), train = setting.train(), evaluate = {},
  }
end

return setting
