-- Q-Anchor in small: six sources with summary tokens, low-rank branches on the decoder; then soft tokens and prototypes
-- on the frozen model (experiments/q_anchor).
local function users(task)
  return dataset.user_synth { users = 32, probe_users = 24, valid_users = 0, test_users = 16, features = 6, slots = "tiny",
                              pairs = { "future", "uqa" }, task = task }
end
local small = model.user_decoder { width = 16, layers = 2, heads = 2, kv_heads = 1, mlp = 24, embedding = 8, encoder = "bag",
                                   encoder_width = 8, words = 128, event_words = 4, user_summary = true, source_summary = true }

local pretrained = run {
  name = "pretrain", dataset = users(""), model = small, mask = mask.causal {},
  adapter = adapter.lora { rank = 2, alpha = 4, dropout = 0.1 },
  loss = { loss.contrastive { variant = "qa_code", temperature = 0.07, margin = 0.1 }, loss.next_token { reduction = "mean" } },
  train = { steps = 2, batch = 6, lr = 1e-3, schedule = "cosine", warmup = 0.04, beta2 = 0.98, clip = 1 }, evaluate = {},
}

return experiment {
  name = "q_anchor", dataset = users("takeout"), model = small, mask = mask.causal {}, init = pretrained,
  adapter = adapter.soft_prompt { tokens = 3 }, loss = loss.prototype { temperature = 0.07, classes = 2 },
  train = { steps = 2, batch = 6, lr = 1e-3, balance = true }, evaluate = none, seed = 1,
}
