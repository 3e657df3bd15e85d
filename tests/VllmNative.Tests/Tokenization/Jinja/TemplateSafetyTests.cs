using VllmNative.Tokenization;
using VllmNative.Tokenization.Jinja;
using Xunit;

namespace VllmNative.Tests.Tokenization.Jinja;

public class TemplateSafetyTests
{
    [Theory]
    [InlineData("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "steps")]
    [InlineData("{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}", "limit of")]
    [InlineData("{{ 'a' * 999999999 }}", "limit of")]
    [InlineData("{{ 'ab' * 9223372036854775807 }}", "limit of")]
    [InlineData("{{ [1] * 999999999 }}", "steps")]
    [InlineData("{{ [1, 2] * 9223372036854775807 }}", "steps")]
    [InlineData("{{ range(999999999) }}", "limit of")]
    [InlineData("{{ range(-9223372036854775807, 9223372036854775807) }}", "limit of")]
    [InlineData("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "deeper")]
    [InlineData("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}", "steps")]
    [InlineData("{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}", "steps")]
    [InlineData("{% set ns = namespace(x='a') %}{% for i in range(23) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{% for i in range(9999) %}{% if ns.x in ns.x %}{% endif %}{% endfor %}", "steps")]
    [InlineData("{% set x = 'a' * 4000000 %}{% set y = 'a' * 1000000 + 'b' + 'a' * 1000000 %}{{ y in x }}", "steps")]
    [InlineData("{% set x = 'a' * 4000000 %}{{ x.find('a' * 1000000 + 'b' + 'a' * 1000000) }}", "steps")]
    [InlineData("{% set x = 'a' * 4000000 %}{{ x.split('a' * 1000000 + 'b' + 'a' * 1000000) }}", "steps")]
    [InlineData("{% set x = 'a' * 4000000 %}{{ x.replace('a', x) }}", "limit of")]
    [InlineData("{% set x = 'a' * 4000000 %}{{ ['', '', '', '', '', ''] | join(x) }}", "limit of")]
    [InlineData("{% set x = 'a' * 4000000 %}{{ x }}{{ x }}{{ x }}{{ x }}{{ x }}", "limit of")]
    [InlineData("{% set x = '\\n' * 4000000 %}{{ x | indent(200, blank=true) }}", "limit of")]
    [InlineData("{{ 9223372036854775807 + 1 }}", "64 bits")]
    [InlineData("{{ 2 ** 64 }}", "64 bits")]
    [InlineData("{{ 3 ** 9223372036854775807 }}", "64 bits")]
    [InlineData("{{ 1 / 0 }}", "division by zero")]
    public void A_template_that_wants_too_much_is_stopped(string source, string expected)
    {
        ChatTemplateException error = Assert.Throws<ChatTemplateException>(() => TemplateRendering.Render(source));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.Equal(1, error.Line);
        Assert.False(error.IsRejection);
    }

    [Fact]
    public void Deep_nesting_of_any_kind_is_refused_and_does_not_overflow_the_stack()
    {
        foreach ((string open, string close) in new[]
        {
            ("(", ")"), ("[", "]"), ("{'a':", "}"), ("-", ""), ("not ", ""), ("x(", ")"), ("x[", "]"), ("1 if ", ""), ("1+", ""), ("1**", ""), ("'a'|e+", ""),
        })
        {
            string source = "{{ " + string.Concat(Enumerable.Repeat(open, 20_000)) + "1" + string.Concat(Enumerable.Repeat(close, 20_000)) + " }}";
            Assert.Throws<ChatTemplateException>(() => TemplateRendering.Render(source));
        }

        Assert.Throws<ChatTemplateException>(() => TemplateRendering.Render(string.Concat(Enumerable.Repeat("{% if t %}", 20_000))));
        Assert.Throws<ChatTemplateException>(() => TemplateRendering.Render("{{ x" + string.Concat(Enumerable.Repeat(".a", 20_000)) + " }}"));
        Assert.Throws<ChatTemplateException>(() => TemplateRendering.Render("{{ x" + string.Concat(Enumerable.Repeat("|e", 20_000)) + " }}"));
    }

    [Theory]
    [InlineData("{{ ''.__class__ }}", "")]
    [InlineData("{{ messages.__len__ }}", "")]
    [InlineData("{{ l.GetType }}{{ d.Entries }}{{ s.Length }}{{ s.Text }}", "")]
    public void Members_of_the_implementation_are_not_there(string source, string expected) => Assert.Equal(expected, TemplateRendering.Render(source));

    [Theory]
    [InlineData("\n{{ ''.__class__.__mro__ }}", 2)]
    [InlineData("\n\n{{ missing.x }}", 3)]
    [InlineData("{{ missing + 'a' }}", 1)]
    [InlineData("{{ 'a' + 1 }}", 1)]
    [InlineData("{{ 'a' < 1 }}", 1)]
    [InlineData("{{ n() }}", 1)]
    [InlineData("{{ s.nothing() }}", 1)]
    [InlineData("{{ l.append(1) }}", 1)]
    [InlineData("{{ l | sort(attribute='x') | sort }}", 1)]
    [InlineData("{{ ['a', 1] | sort }}", 1)]
    [InlineData("{{ raise_exception | tojson }}", 1)]
    [InlineData("{{ missing | tojson }}", 1)]
    [InlineData("{% for a, b in l %}{% endfor %}", 1)]
    [InlineData("{% set messages.x = 1 %}", 1)]
    [InlineData("\n\n\n{% for x in 3 %}{% endfor %}", 4)]
    public void A_failure_names_its_line(string source, int line) =>
        Assert.Equal(line, Assert.Throws<ChatTemplateException>(() => TemplateRendering.Render(source)).Line);

    [Theory]
    [InlineData("a\n{{ x", 2)]
    [InlineData("{% if x %}", 1)]
    [InlineData("{% endif %}", 1)]
    [InlineData("{% for x %}{% endfor %}", 1)]
    [InlineData("\n{% include 'x' %}", 2)]
    [InlineData("{% import 'x' as y %}", 1)]
    [InlineData("{{ x | nofilter }}", 1)]
    [InlineData("{{ x is notest }}", 1)]
    [InlineData("{{ 'abc }}", 1)]
    [InlineData("{# abc", 1)]
    [InlineData("{% raw %}", 1)]
    [InlineData("{{ }}", 1)]
    [InlineData("{{ a b }}", 1)]
    [InlineData("{{ (1 }}", 1)]
    [InlineData("{{ 1) }}", 1)]
    [InlineData("{{ a ? b }}", 1)]
    [InlineData("{% break %}", 1)]
    [InlineData("{% %}", 1)]
    [InlineData("{{ 99999999999999999999 }}", 1)]
    [InlineData("{% set = 1 %}", 1)]
    [InlineData("{{", 1)]
    [InlineData("{%", 1)]
    public void A_template_that_does_not_parse_names_its_line(string source, int line) =>
        Assert.Equal(line, Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(source)).Line);

    [Fact]
    public void A_rejection_by_the_template_is_told_apart()
    {
        ChatTemplateException error = Assert.Throws<ChatTemplateException>(
            () => TemplateRendering.Render("\n{{ raise_exception('roles must alternate') }}"));
        Assert.True(error.IsRejection);
        Assert.Equal(2, error.Line);
        Assert.Equal("roles must alternate", error.Cause);
    }

    [Fact]
    public void Cancellation_stops_a_template()
    {
        using CancellationTokenSource source = new();
        source.Cancel();
        Assert.Throws<OperationCanceledException>(() => ChatTemplate
            .Parse("{% for i in range(99999) %}{% endfor %}").Render(TemplateRendering.Input(), source.Token));
    }

    [Fact]
    public void A_source_over_the_limit_is_refused() =>
        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(new string('x', TemplateLimits.Default.MaxSourceLength + 1)));

    [Fact]
    public void Seeded_mutations_of_a_template_render_or_fail_with_a_typed_error()
    {
        string good = File.ReadAllText(TestAssets.Path("models", "demo", "chat_template.jinja"));
        const string Replacements = "{}%#-'\"()[]|.,:=+*~ \nabif01\\";
        TemplateLimits limits = new() { MaxSteps = 20_000, MaxOutputLength = 1 << 16 };
        for (int seed = 0; seed < 4000; seed++)
        {
            Random random = new(seed);
            char[] chars = good.ToCharArray();
            for (int n = random.Next(1, 5); n > 0; n--)
            {
                chars[random.Next(chars.Length)] = Replacements[random.Next(Replacements.Length)];
            }

            try
            {
                ChatTemplate.Parse(new string(chars), limits).Render(TemplateRendering.Input(), TestContext.Current.CancellationToken);
            }
            catch (ChatTemplateException)
            {
                // Refused with a reason: fine.
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}: {e.GetType().Name} {e.Message}\n{new string(chars)}");
            }
        }
    }
}
