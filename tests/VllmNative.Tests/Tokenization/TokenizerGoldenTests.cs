using System.Text.Json;
using VllmNative.Tokenization;
using Xunit;

namespace VllmNative.Tests.Tokenization;

public class TokenizerGoldenTests
{
    [Fact]
    public void Every_demo_conversation_renders_and_encodes_as_the_reference_does()
    {
        Tokenizer tokenizer = DemoGoldens.Tokenizer;
        Assert.NotEmpty(DemoGoldens.Rows);
        foreach (JsonElement row in DemoGoldens.Rows)
        {
            IReadOnlyList<ChatMessage> messages = DemoGoldens.Messages(row);
            JsonElement? tools = DemoGoldens.Tools(row);
            string prompt = row.GetProperty("prompt").GetString()!;
            int[] ids = DemoGoldens.Ids(row, "prompt_ids");

            Assert.Equal(prompt, tokenizer.ApplyChatTemplate(messages, tools));
            Assert.Equal(ids, tokenizer.Encode(prompt));
            Assert.Equal(ids, tokenizer.EncodeChat(messages, tools));
            Assert.Equal(prompt, tokenizer.Decode(ids, skipSpecialTokens: false));
        }
    }

    [Fact]
    public void Every_demo_output_decodes_as_the_reference_does()
    {
        foreach (JsonElement row in DemoGoldens.Rows)
        {
            int[] ids = DemoGoldens.Ids(row, "output_ids");
            Assert.Equal(row.GetProperty("output").GetString(), DemoGoldens.Tokenizer.Decode(ids));
        }
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("qwen2_5")]
    [InlineData("llama3_1")]
    [InlineData("deepseek_v3")]
    [InlineData("llama2")]
    public void A_real_tokenizer_encodes_and_decodes_as_the_reference_does(string name)
    {
        (Tokenizer tokenizer, JsonElement[] rows) = RealTokenizers.Load(name);
        List<string> wrong = [];
        foreach (JsonElement row in rows)
        {
            string text = row.GetProperty("text").GetString()!;
            int[] ids = DemoGoldens.Ids(row, "ids");
            if (!ids.SequenceEqual(tokenizer.Encode(text, addSpecialTokens: false))
                || !DemoGoldens.Ids(row, "ids_special").SequenceEqual(tokenizer.Encode(text))
                || row.GetProperty("decoded").GetString() != tokenizer.Decode(ids, skipSpecialTokens: false))
            {
                wrong.Add($"{JsonSerializer.Serialize(text)} -> [{string.Join(", ", tokenizer.Encode(text, false))}], expected [{string.Join(", ", ids)}]");
            }
        }

        TestContext.Current.SendDiagnosticMessage($"{name}: {rows.Length - wrong.Count} of {rows.Length} rows agree");
        Assert.True(wrong.Count == 0, $"{wrong.Count} of {rows.Length} rows differ:\n{string.Join('\n', wrong)}");
    }
}
