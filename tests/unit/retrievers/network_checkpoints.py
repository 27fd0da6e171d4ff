"""Rows of networks that transformers knows, saved without modules."""

from typing import Any

from unit.retrievers.checkpoint_rows import Row, network, plain

T5 = {"vocab_size": 120, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
LAYERS = {"encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
HEADS = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
BART = {"vocab_size": 120, "d_model": 32, "pad_token_id": 0, **LAYERS, **HEADS}
SWITCH = {"num_experts": 2, "expert_capacity": 4, "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1}
SPARSE_STEPS = {"num_experts": 4, "expert_capacity": 4, "encoder_sparse_step": 1, "decoder_sparse_step": 1}
PROPHET: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "num_encoder_attention_heads": 4,
    "num_decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "pad_token_id": 0,
}
MPT = {"vocab_size": 120, "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 128}
DISTIL = {"vocab_size": 120, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
XLM = {"vocab_size": 120, "emb_dim": 32, "n_layers": 2, "n_heads": 4, "pad_index": 0}
XLNET = {"vocab_size": 120, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48, "pad_token_id": 0}
FUNNEL: dict[str, Any] = {
    "vocab_size": 120,
    "d_model": 32,
    "n_head": 4,
    "d_head": 8,
    "d_inner": 48,
    "block_sizes": [1, 1],
    "num_decoder_layers": 1,
}
RELATIVE: dict[str, Any] = {
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "position_biased_input": False,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
SHARED = {"shared_expert_intermediate_size": 16}
ENDS = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
REFORMER = {"axial_pos_embds_dim": [16, 16], "axial_pos_shape": [8, 16], "attention_head_size": 8, "is_decoder": False}
CAUSAL = {"auto": "AutoModelForCausalLM"}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}


def refused(name: str, kind: str, why: str = "cannot encode a text", **options: Any) -> Row:
    """Return the row of a network that cannot be given tokens alone, or has a tower for images."""
    return Row(name, network(kind, **options)[0], refusal=why)


ENCODERS = (
    plain("BERT, mBERT", "bert"),
    plain("BERT, masked language model", "bert", auto="AutoModelForMaskedLM"),
    plain("RoBERTa", "roberta"),
    plain("XLM-RoBERTa", "xlm-roberta"),
    plain("XLM-RoBERTa-XL", "xlm-roberta-xl"),
    plain("X-MOD", "xmod", languages=["en_XX", "de_DE"], default_language="en_XX", adapter_reduction_factor=2),
    plain("CamemBERT", "camembert"),
    plain("RoBERTa-PreLayerNorm", "roberta-prelayernorm"),
    plain("Data2Vec text", "data2vec-text"),
    plain("I-BERT", "ibert", quant_mode=False),
    plain("DistilBERT", "distilbert", small=DISTIL),
    plain("ALBERT", "albert", embedding_size=16),
    plain("ELECTRA", "electra", embedding_size=16),
    plain("DeBERTa", "deberta", **RELATIVE),
    plain("DeBERTa-v2, mDeBERTa-v3", "deberta-v2", **RELATIVE),
    plain("MPNet", "mpnet"),
    plain("XLM", "xlm", small=XLM, n_langs=1),
    plain("FlauBERT", "flaubert", small=XLM),
    plain("XLNet", "xlnet", small=XLNET),
    plain("FNet", "fnet"),
    plain("Funnel", "funnel", auto="FunnelModel", small=FUNNEL),
    plain("Longformer", "longformer", attention_window=8),
    plain("BigBird", "big_bird", block_size=4, num_random_blocks=1),
    plain("Nystromformer", "nystromformer", num_landmarks=8, segment_means_seq_len=8),
    plain("YOSO", "yoso"),
    plain("MRA", "mra"),
    plain("LUKE, mLUKE", "luke", entity_vocab_size=10, entity_emb_size=16),
    plain("ERNIE", "ernie"),
    plain("RemBERT", "rembert", input_embedding_size=16, output_embedding_size=16),
    plain("MobileBERT", "mobilebert", embedding_size=16, intra_bottleneck_size=16, true_hidden_size=16),
    plain("SqueezeBERT", "squeezebert", embedding_size=32),
    plain("ConvBERT", "convbert", embedding_size=16),
    plain("RoFormer", "roformer", embedding_size=32),
    plain("MegatronBERT", "megatron-bert"),
    plain("BertGeneration", "bert-generation"),
    plain("LayoutLM", "layoutlm"),
    plain("LiLT", "lilt", hidden_size=48),
    plain("ESM", "esm", position_embedding_type="rotary"),
    plain("Splinter", "splinter"),
    plain("RoCBert", "roc_bert", enable_pronunciation=False, enable_shape=False),
    plain("Reformer", "reformer", **REFORMER),
    plain("ModernBERT", "modernbert", local_attention=8, **ENDS),
    plain("NomicBERT", "nomic_bert"),
    plain("GTE", "gte"),
    plain("Jina Embeddings v3", "jina_embeddings_v3"),
    plain("EuroBERT", "eurobert", bos_token_id=2, eos_token_id=3),
    plain("UltraBERT", "ultrabert", sliding_window=4),
    plain("EmbeddingGemma (Gemma 3 text, bidirectional)", "gemma3_text", use_bidirectional_attention=True, **GROUPED),
    plain("EmbeddingGemma 2 text", "embedding_gemma2_text", **GROUPED),
    plain("Tipsv2 text", "tipsv2_text_model"),
    refused("DPR", "dpr"),
    refused("CLIP text", "clip_text_model", "no images of model_type clip_text_model"),
)
ENCODERS_OF_PAIRS = (
    plain("T5", "t5", encoder=True, small=T5),
    plain("mT5", "mt5", encoder=True, small=T5),
    plain("UMT5", "umt5", encoder=True, small=T5),
    plain("LongT5", "longt5", encoder=True, small=T5, local_radius=3),
    plain("Switch Transformers", "switch_transformers", encoder=True, small=T5, **SWITCH),
    plain("BART", "bart", small=BART, decoder_start_token_id=2),
    plain("mBART", "mbart", small=BART),
    plain("M2M100, NLLB", "m2m_100", encoder=True, small=BART),
    refused("NLLB-MoE", "nllb-moe", small=BART, **SPARSE_STEPS),
    plain(
        "Marian",
        "marian",
        encoder=True,
        small=BART,
        decoder_start_token_id=0,
    ),
    plain("Pegasus", "pegasus", encoder=True, small=BART),
    plain("LED", "led", small=BART, attention_window=8, decoder_start_token_id=2),
    plain("ProphetNet", "prophetnet", encoder=True, small=PROPHET),
)
DECODERS = (
    plain("GPT-2", "gpt2", **CAUSAL, n_positions=128, pooled="mean"),
    plain("GPT-Neo", "gpt_neo", **CAUSAL, attention_types=[[["global", "local"], 1]], num_layers=2, num_heads=4),
    plain("GPT-J", "gptj", **CAUSAL, rotary_dim=8, n_positions=128),
    plain("GPT-NeoX", "gpt_neox", **CAUSAL),
    plain("OPT", "opt", **CAUSAL, ffn_dim=48, word_embed_proj_dim=32),
    plain("BLOOM", "bloom", **CAUSAL),
    plain("XGLM", "xglm", **CAUSAL, d_model=32, num_layers=2, attention_heads=4, ffn_dim=48),
    plain("MPT", "mpt", **CAUSAL, small=MPT),
    plain("Falcon", "falcon", **CAUSAL),
    plain("LLaMA", "llama", **CAUSAL, num_key_value_heads=2),
    plain("Mistral", "mistral", **CAUSAL, **GROUPED, sliding_window=8),
    plain("Ministral", "ministral", **CAUSAL, **GROUPED, sliding_window=8),
    plain("Qwen2", "qwen2", **CAUSAL, num_key_value_heads=2),
    plain("Qwen3", "qwen3", **CAUSAL, **GROUPED),
    plain("Gemma", "gemma", **CAUSAL, **GROUPED),
    plain("Gemma 2", "gemma2", **CAUSAL, **GROUPED, sliding_window=8),
    plain("Gemma 3 text", "gemma3_text", **CAUSAL, **GROUPED, sliding_window=8),
    plain("Phi", "phi", **CAUSAL),
    plain("Phi-3", "phi3", **CAUSAL, num_key_value_heads=2),
    plain("OLMo 2", "olmo2", **CAUSAL),
    plain("Granite", "granite", **CAUSAL, num_key_value_heads=2),
    plain("SmolLM3", "smollm3", **CAUSAL, num_key_value_heads=2),
    plain("Cohere", "cohere", **CAUSAL, num_key_value_heads=2),
    plain("StableLM", "stablelm", **CAUSAL, num_key_value_heads=2),
    plain("Starcoder 2", "starcoder2", **CAUSAL, num_key_value_heads=2),
    plain("ModernBERT decoder", "modernbert-decoder", **CAUSAL, local_attention=8),
    plain("Mamba", "mamba", **CAUSAL),
    plain("Mamba 2", "mamba2", **CAUSAL, num_heads=4, head_dim=16, expand=2, n_groups=1, state_size=8),
    plain("RWKV", "rwkv", **CAUSAL, attention_hidden_size=32, context_length=128),
    plain("Mixtral", "mixtral", **CAUSAL, num_key_value_heads=2, num_local_experts=4),
    plain("Qwen2 MoE", "qwen2_moe", **CAUSAL, num_key_value_heads=2, num_experts=4, moe_intermediate_size=16, **SHARED),
    plain(
        "Qwen3 MoE", "qwen3_moe", **CAUSAL, **GROUPED, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16
    ),
    plain("Granite MoE", "granitemoe", **CAUSAL, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2),
)
