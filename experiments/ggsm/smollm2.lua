-- smollm2.lua - the mask recipes on a real pre-trained decoder: SmolLM2-135M-Instruct with LoRA, and its own tokenizer.
--
-- `scripts/weights smollm2` fetches it into data/weights. One seed and twenty steps on a few users: a smoke run, no
-- result; raise steps, users and seeds on a machine that has the time. The rate is the papers' for a decoder that was
-- trained before: at 1e-3, the tiny decoder's, ten steps bring all vectors to one point.
local setting = require "setting"
local folder = "../../data/weights/smollm2"

return experiment {
  name = "ggsm_smollm2",
  dataset = setting.users { users = 200, probe_users = 60, valid_users = 30, test_users = 60 },
  model = setting.model { decoder = folder, tokenizer = folder .. "/tokenizer.json", encoder = "words" },
  adapter = adapter.lora { rank = 8, alpha = 16 },
  mask = any {
    mask.causal {}, mask.hybrid {}, mask.hybrid_mask {}, mask.hybrid_query {}, mask.hybrid_mlp {}, mask.bidirectional {},
    mask.widening {}, mask.future { weight = function(step, total) return math.max((step + 1) / total, 1e-4) end },
    mask.ggsm { warmup = setting.warmup },
  },
  loss = setting.loss(), train = setting.train { steps = 20, batch = 4, lr = 2e-4 },
  evaluate = { evaluator.linear_probe { suite = "cognition9", benchmarks = { "power" }, metrics = { "auc" } } }, seed = 1,
}
