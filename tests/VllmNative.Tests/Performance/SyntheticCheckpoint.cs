using System.Buffers.Binary;
using System.Text;

namespace VllmNative.Tests.Performance;

/// <summary>A Llama checkpoint of about 200 MiB, bf16, every element 2^-6: large enough for memory to show, with nothing in it.</summary>
internal static class SyntheticCheckpoint
{
    private const int Hidden = 1024;
    private const int Intermediate = 4096;
    private const int Layers = 4;
    private const int Vocabulary = 16000;

    private const string Config = """
        {
          "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16", "hidden_act": "silu",
          "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 4, "num_attention_heads": 16,
          "num_key_value_heads": 16, "head_dim": 64, "max_position_embeddings": 512, "rms_norm_eps": 1e-05,
          "rope_theta": 10000.0, "tie_word_embeddings": false, "vocab_size": 16000, "eos_token_id": 2
        }
        """;

    /// <summary>Writes config.json and model.safetensors; returns the bytes of all tensors.</summary>
    internal static long Write(string directory)
    {
        File.WriteAllText(Path.Combine(directory, "config.json"), Config);
        var header = new StringBuilder("{");
        long offset = 0;
        void Add(string name, params long[] shape)
        {
            long end = offset + (2 * shape.Aggregate(1L, (product, size) => product * size));
            header.Append(offset == 0 ? "" : ",").Append(FormattableString.Invariant(
                $"\"{name}\":{{\"dtype\":\"BF16\",\"shape\":[{string.Join(',', shape)}],\"data_offsets\":[{offset},{end}]}}"));
            offset = end;
        }

        Add("model.embed_tokens.weight", Vocabulary, Hidden);
        for (int layer = 0; layer < Layers; layer++)
        {
            string prefix = FormattableString.Invariant($"model.layers.{layer}.");
            foreach (string name in (string[])["q_proj", "k_proj", "v_proj", "o_proj"])
            {
                Add($"{prefix}self_attn.{name}.weight", Hidden, Hidden);
            }

            Add($"{prefix}mlp.gate_proj.weight", Intermediate, Hidden);
            Add($"{prefix}mlp.up_proj.weight", Intermediate, Hidden);
            Add($"{prefix}mlp.down_proj.weight", Hidden, Intermediate);
            Add($"{prefix}input_layernorm.weight", Hidden);
            Add($"{prefix}post_attention_layernorm.weight", Hidden);
        }

        Add("model.norm.weight", Hidden);
        Add("lm_head.weight", Vocabulary, Hidden);
        header.Append('}');
        using FileStream file = File.Create(Path.Combine(directory, "model.safetensors"));
        byte[] text = Encoding.UTF8.GetBytes(header.ToString().PadRight((header.Length + 7) / 8 * 8));
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, text.Length);
        file.Write(length);
        file.Write(text);
        byte[] piece = new byte[1 << 20];
        for (int i = 0; i < piece.Length; i += 2)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(piece.AsSpan(i), 0x3C80);
        }

        for (long left = offset; left > 0; left -= piece.Length)
        {
            file.Write(piece.AsSpan(0, (int)Math.Min(left, piece.Length)));
        }

        return offset;
    }
}
