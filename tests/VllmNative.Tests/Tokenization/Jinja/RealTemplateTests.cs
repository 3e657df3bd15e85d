using System.Text.Json;
using VllmNative.Diagnostics;
using VllmNative.Tokenization;
using Xunit;

namespace VllmNative.Tests.Tokenization.Jinja;

public class RealTemplateTests
{
    [Theory]
    [InlineData("qwen2_5")]
    [InlineData("llama3_1")]
    [InlineData("deepseek_v3")]
    public void A_real_template_renders_as_the_reference_does(string name)
    {
        JsonElement file = RealTokenizers.ChatTemplates(name);
        ChatTemplate template = ChatTemplate.Parse(file.GetProperty("chat_template").GetString()!);
        List<string> wrong = [];
        int count = 0;
        foreach (JsonElement row in file.GetProperty("cases").EnumerateArray())
        {
            count++;
            string? expected = row.TryGetProperty("rendered", out JsonElement rendered) ? rendered.GetString() : null;
            string? actual;
            try
            {
                actual = template.Render(Input(file, row), TestContext.Current.CancellationToken);
            }
            catch (VllmException e)
            {
                actual = expected is null ? null : e.Message;
            }

            if (actual != expected)
            {
                wrong.Add($"{row.GetProperty("messages").GetRawText()}\n  expected: {expected}\n  actual:   {actual}");
            }
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count} of {count} cases differ:\n{string.Join('\n', wrong)}");
    }

    private static ChatTemplateInput Input(JsonElement file, JsonElement row) => new()
    {
        Messages = ChatMessage.ListFromJson(row.GetProperty("messages")),
        Tools = row.TryGetProperty("tools", out JsonElement tools) ? tools : null,
        AddGenerationPrompt = !row.TryGetProperty("add_generation_prompt", out JsonElement add) || add.GetBoolean(),
        Variables = row.TryGetProperty("kwargs", out JsonElement variables)
            ? variables.EnumerateObject().ToDictionary(item => item.Name, item => item.Value)
            : null,
        BosToken = file.GetProperty("bos_token").GetString(),
        EosToken = file.GetProperty("eos_token").GetString(),
    };
}
